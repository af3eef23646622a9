"""A local HTTP service over trained models, and its page.

    models.py        which models there are, and what each of them can do
    messages.py      what requests and answers look like
    batching.py      one thread for the models, which reads the texts of several requests together
    gate.py          before any request is read: host, token, size, time; no text in what goes wrong
    application.py   the paths
    figures.py       what Prometheus reads
    page.html page.py         the page at /
    server.py        the socket, and a graceful end

Nothing of a request is written anywhere: neither texts nor answers are in logs, figures or error messages.
"""
