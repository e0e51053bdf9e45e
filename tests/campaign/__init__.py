"""Attacks on the program: kills, full disks, other processes, odd environments, bad inputs. See RESULTS.md."""
