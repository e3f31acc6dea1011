# A feed of server-sent events that holds no connection: python3 backend.py
import json
import os
import sqlite3
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import Request, urlopen

PUBLISH_URL = os.environ.get('PUBLISH_URL', 'http://127.0.0.1:5561/publish/')
FILE = os.environ.get('FEED_FILE', 'feed.sqlite')
PAGE = (Path(__file__).parent / 'index.html').read_bytes()


class Feed(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def do_GET(self):
        if self.path == '/':
            return self.answer(200, PAGE, {'Content-Type': 'text/html; charset=utf-8'})
        if self.path != '/feed':
            return self.answer(404)
        last = self.last_id()
        items = query('SELECT id, text FROM items WHERE id > ? ORDER BY id', last)
        if items:
            last = items[-1][0]
        self.answer(200, b'retry: 1000\n\n' + b''.join(event(*item) for item in items), {
            'Content-Type': 'text/event-stream',
            'Cache-Control': 'no-store',
            'Grip-Hold': 'stream',
            # What comes behind this id goes to the client as it is published.
            'Grip-Channel': f'feed; prev-id={last}',
            'Grip-Keep-Alive': r':\n\n; format=cstring; timeout=20',
            # Asked when something was missed, and when nothing has come for a minute.
            'Grip-Link': '</feed>; rel=next; timeout=60',
        })

    def do_POST(self):
        if self.path != '/feed':
            return self.answer(404)
        text = self.rfile.read(int(self.headers.get('Content-Length', 0))).decode()
        [[number]] = query('INSERT INTO items (text) VALUES (?) RETURNING id', text)
        publish(number, text)
        self.answer(204)

    def last_id(self):
        # Tidegate says `feed; last-id=7` of a client that it asks for, an EventSource that comes again 7.
        last = self.headers.get('Grip-Last', '').rpartition('last-id=')[2] or self.headers.get('Last-Event-ID', '')
        return int(last) if last.isdecimal() else 0

    def answer(self, status, body=b'', headers={}):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def event(number, text):
    return f'id: {number}\ndata: {json.dumps(text)}\n\n'.encode()


def publish(number, text):
    formats = {'http-stream': {'content': event(number, text).decode()}}
    item = {'channel': 'feed', 'id': str(number), 'prev-id': str(number - 1), 'formats': formats}
    try:
        urlopen(Request(PUBLISH_URL, json.dumps({'items': [item]}).encode()), timeout=10).close()
    except OSError as error:
        # It is in the table: whoever misses it is given it later.
        print(f'item {number} was not published: {error}', flush=True)


def query(sql, *values):
    with closing(sqlite3.connect(FILE)) as db, db:
        return db.execute(sql, values).fetchall()


query('CREATE TABLE IF NOT EXISTS items (id INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT NOT NULL)')
PORT = int(os.environ.get('PORT', 3000))
with ThreadingHTTPServer(('127.0.0.1', PORT), Feed) as server:
    print(f'a feed on http://127.0.0.1:{PORT}', flush=True)
    server.serve_forever()
