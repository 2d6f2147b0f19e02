"""A helpdesk that gets its tickets from Postroom: one ticket for each message, and one answer.

It follows the feed of Postroom. It keeps the number that it has come to in the transaction that
makes the tickets, so it may be killed at any moment, and so may Postroom: no message is left out,
and none becomes two tickets. The id of an answer follows from that of the message, so an answer
that is handed over twice is sent once.

    python3 helpdesk_bridge.py           follows until it is ended
    python3 helpdesk_bridge.py tickets   shows the tickets, one JSON object a line

Environment: POSTROOM (http://127.0.0.1:8025), POSTROOM_ADMIN_TOKEN, HELPDESK (the database).
It needs Python 3.9 or newer and no packages.
"""

import base64
import http.client
import json
import os
import sqlite3
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid

POSTROOM = os.environ.get("POSTROOM", "http://127.0.0.1:8025")
MESSAGES = "/rest/v1/model/email/Messages"
EVENTS = "/rest/v1/events"
MASK = "id,account_id,from,replyTo,subject,text,messageId,references,headers"
TABLES = """
    CREATE TABLE IF NOT EXISTS ticket (
      number INTEGER PRIMARY KEY, message TEXT NOT NULL UNIQUE, sender TEXT, subject TEXT, text TEXT,
      answer TEXT,         -- the answer as JSON, if somebody waits for one
      answer_state TEXT);  -- due, done, or why Postroom refused it
    CREATE INDEX IF NOT EXISTS ticket_due ON ticket (number) WHERE answer_state = 'due';
    CREATE TABLE IF NOT EXISTS position (one INTEGER PRIMARY KEY CHECK (one = 1), seq INTEGER NOT NULL);
"""


class Away(Exception):
    """Postroom is away or asks to come back."""


def ask(method, path, query=None, body=None):
    """Sends a request; gives the JSON of the answer. What is refused raises HTTPError."""
    url = POSTROOM + path + ("?" + urllib.parse.urlencode(query) if query else "")
    headers = {"Authorization": "Bearer " + os.environ["POSTROOM_ADMIN_TOKEN"],
               "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    try:
        request = urllib.request.Request(url, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        if error.code < 500 and error.code != 429:
            raise
        raise Away(error) from error
    except (OSError, http.client.HTTPException) as error:
        raise Away(error) from error


def follow(db, wait):
    """Takes what happened since the last time; waits for it for so many seconds."""
    position = db.execute("SELECT seq FROM position").fetchone()
    if position is None:
        return read_all(db)
    query = {"after": position[0], "wait": wait, "limit": 100, "class": "email/Messages", "mask": MASK,
             "event": "message.received,message.raw"}
    try:
        page = ask("GET", EVENTS, query)
    except urllib.error.HTTPError as error:
        if error.code != 410:
            raise
        return read_all(db)  # The feed is no longer kept that far back.
    # A message that was deleted since is told without its values: there is nothing to do for it.
    take(db, [event["entity"] for event in page["events"] if event["entity"]], page["next"])


def read_all(db):
    """Takes all messages that are there. What comes meanwhile is behind the number asked for first."""
    newest = ask("GET", EVENTS, {"after": "now"})["next"]
    received = ["and", ["==", ["property", "messageDirection"], "in"],
                ["in", ["property", "messageState"], ["received", "raw"]]]
    last = "00000000-0000-0000-0000-000000000000"
    while True:
        behind = ["and", received, [">", ["property", "id"], last]]
        query = {"filter": json.dumps(behind), "order": "id", "limit": 200, "mask": MASK}
        page = ask("GET", MESSAGES, query)
        take(db, page)
        if not page:
            return take(db, [], newest)
        last = page[-1]["id"]


def take(db, messages, position=None):
    """Makes a ticket of each message that has none, and keeps the position: both or neither."""
    with db:
        for message in messages:
            answer = answer_to(message)
            db.execute("INSERT INTO ticket (message, sender, subject, text, answer, answer_state) "
                       "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (message) DO NOTHING",
                       [message["id"], message["from"], message["subject"], message["text"],
                        answer and json.dumps(answer), answer and "due"])
        if position is not None:
            db.execute("INSERT OR REPLACE INTO position VALUES (1, ?)", [position])


def answer_to(message):
    """The answer. None if a program wrote the message: two programs could answer each other for ever
    (RFC 3834)."""
    fields = {name.lower(): str(value).lower() for name, value in message["headers"] or []}
    is_automatic = fields.get("auto-submitted", "no") != "no" or {"list-id", "precedence"} & fields.keys()
    to = message["replyTo"] or [message["from"]]
    if is_automatic or not all(to):
        return None
    quoted = "".join("> " + line + "\n" for line in (message["text"] or "").splitlines())
    attachment = {"name": "your-message.txt", "contentType": "text/plain",
                  "content": base64.b64encode(quoted.encode()).decode()}
    replied = [message["messageId"]] if message["messageId"] else []
    return {"id": str(uuid.uuid5(uuid.UUID(message["id"]), "answer")), "account_id": message["account_id"],
            "messageDirection": "out", "messageState": "sending", "to": to,
            "subject": "Re: " + (message["subject"] or ""),
            "text": "We have your message and will answer soon.\n", "inReplyTo": replied,
            "references": (message["references"] or []) + replied,
            "headers": [["Auto-Submitted", "auto-replied"]], "attachments": [attachment]}


def answer_all(db):
    """Hands over the answers that are due."""
    due = db.execute("SELECT number, answer FROM ticket WHERE answer_state = 'due' LIMIT 100").fetchall()
    for number, answer in due:
        state = "done"
        try:
            ask("POST", MESSAGES, body=json.loads(answer))
        except urllib.error.HTTPError as error:
            if error.code in (401, 403):
                raise
            problem = json.load(error)
            if problem["type"].endswith(":busy"):
                raise Away(problem["detail"]) from error
            # Postroom has it already if this program was killed before it could note that.
            state = "done" if problem["type"].endswith(":exists") else problem["detail"]
        with db:
            db.execute("UPDATE ticket SET answer_state = ? WHERE number = ?", [state, number])


def counts(db):
    """How many tickets there are, and how many answers are due."""
    return db.execute("SELECT (SELECT coalesce(max(number), 0) FROM ticket), "
                      "(SELECT count(*) FROM ticket WHERE answer_state = 'due')").fetchone()


def show(db):
    """Prints all tickets."""
    for number, message, subject, answer, state in db.execute(
            "SELECT number, message, subject, answer, answer_state FROM ticket ORDER BY number"):
        answer = answer and json.loads(answer)["id"]
        print(json.dumps({"number": number, "message": message, "subject": subject, "answer": answer,
                          "answerState": state}))


def main():
    db = sqlite3.connect(os.environ.get("HELPDESK", "helpdesk.db"))  # A commit of it is durable.
    db.executescript(TABLES)
    if sys.argv[1:] == ["tickets"]:
        return show(db)
    told = None
    while True:
        try:
            follow(db, wait=0 if counts(db)[1] else 30)
            answer_all(db)
        except Away as error:
            print("waiting:", error, file=sys.stderr, flush=True)
            time.sleep(0.2)
        if told != (told := counts(db)):
            print("{} tickets, {} answers due".format(*told), flush=True)


if __name__ == "__main__":
    main()
