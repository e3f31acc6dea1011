# The same chat in Python's standard library: python3 backend.py
import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit
from urllib.request import Request, urlopen

PUBLISH_URL = os.environ.get('PUBLISH_URL', 'http://127.0.0.1:5561/publish/')
EVENTS = 'application/websocket-events'


class Chat(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def do_POST(self):
        name = parse_qs(urlsplit(self.path).query).get('name', ['guest'])[0]
        answer = b''
        for kind, content in events(self.rfile.read(int(self.headers['Content-Length']))):
            if kind == b'OPEN':
                answer += b'OPEN\r\n' + text_event(b'c:{"type":"subscribe","channel":"room"}')
            elif kind == b'TEXT':
                publish('room', f'{name}: {content.decode()}')
        self.send_response(200)
        self.send_header('Content-Type', EVENTS)
        self.send_header('Sec-WebSocket-Extensions', 'grip')
        self.send_header('Content-Length', str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


def events(body):
    while body:
        line, _, body = body.partition(b'\r\n')
        kind, _, length = line.partition(b' ')
        size = int(length or b'0', 16)
        yield kind, body[:size]
        body = body[size + 2 :] if length else body


def text_event(text):
    return b'TEXT %x\r\n%s\r\n' % (len(text), text)


def publish(channel, content):
    items = [{'channel': channel, 'formats': {'ws-message': {'content': content}}}]
    urlopen(Request(PUBLISH_URL, json.dumps({'items': items}).encode()), timeout=10).close()


PORT = int(os.environ.get('PORT', 3000))
with ThreadingHTTPServer(('127.0.0.1', PORT), Chat) as server:
    print(f'a chat on http://127.0.0.1:{PORT}', flush=True)
    server.serve_forever()
