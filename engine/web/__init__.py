"""Web applications of this project: routes, pages and static files behind checks of every request, and a server.

Extra `explore`. A command makes an application (application.py) of its routes and runs it (server.py). htmx 4.0.1 is
kept with its licence in htmx/; pages load nothing from elsewhere.
"""
