// A helpdesk that gets its tickets from Postroom: one ticket for each message, and one answer.
//
// It follows the feed of Postroom. One line of its journal has the tickets of a page and the number
// that the page ends with, and the line is on the disk before the next page is asked for. So this
// program may be killed at any moment, and so may Postroom: no message is left out, and none becomes
// two tickets. The id of an answer follows from that of the message, so an answer that is handed
// over twice is sent once.
//
//     npm install --no-save typescript @types/node
//     npx tsc --strict --module nodenext --target es2022 --types node helpdesk_bridge.mts
//     node helpdesk_bridge.mjs           follows until it is ended
//     node helpdesk_bridge.mjs tickets   shows the tickets, one JSON object a line
//
// Environment: POSTROOM (http://127.0.0.1:8025), POSTROOM_ADMIN_TOKEN, HELPDESK (the journal).
// It needs Node.js 18 or newer. In memory are the ids of all tickets, and the answers that are due.
// One journal is for one such program at a time.

import { createHash } from "node:crypto";
import * as fs from "node:fs";
import { dirname, resolve } from "node:path";

type Message = {
  id: string; account_id: string | null; from: string | null; replyTo: string[]; subject: string | null;
  text: string | null; messageId: string | null; references: string[]; headers: [string, string][] | null;
};
type Answer = { id: string; [property: string]: unknown };
type Ticket = {
  message: string; sender: string | null; subject: string | null; text: string | null; answer: Answer | undefined;
};
type Query = Record<string, string>;
type Asked = { status: number; json: any };
type Line = { tickets?: Ticket[]; position?: number; answered?: string; state?: string };

const POSTROOM = process.env.POSTROOM ?? "http://127.0.0.1:8025";
const JOURNAL = process.env.HELPDESK ?? "helpdesk.journal";
const MESSAGES = "/rest/v1/model/email/Messages";
const EVENTS = "/rest/v1/events";
const MASK = "id,account_id,from,replyTo,subject,text,messageId,references,headers";

/** Postroom is away or asks to come back. */
class Away extends Error {}

/** The tickets, in a file that only grows. */
class Helpdesk {
  readonly known = new Set<string>();
  readonly due = new Map<string, Answer>();
  position: number | undefined;
  #file = fs.openSync(JOURNAL, "a+");

  /** Reads the journal. A line without its end was being written when the program was killed. */
  async open(): Promise<void> {
    const byte = Buffer.alloc(1);
    let end = fs.fstatSync(this.#file).size;
    while (end > 0 && (fs.readSync(this.#file, byte, 0, 1, end - 1), byte[0] !== 10)) end -= 1;
    fs.ftruncateSync(this.#file, end);
    const directory = fs.openSync(dirname(resolve(JOURNAL)), "r");
    fs.fsyncSync(directory); // The journal itself is not forgotten, either.
    fs.closeSync(directory);
    for await (const line of lines()) this.#note(line);
  }

  /** Writes a line. It is durable when this returns. */
  write(line: Line): void {
    const bytes = Buffer.from(JSON.stringify(line) + "\n");
    for (let at = 0; at < bytes.length;) at += fs.writeSync(this.#file, bytes, at);
    fs.fsyncSync(this.#file);
    this.#note(line);
  }

  #note({ tickets = [], position, answered }: Line): void {
    for (const { message, answer } of tickets) {
      this.known.add(message);
      if (answer) this.due.set(message, answer);
    }
    if (answered) this.due.delete(answered);
    this.position = position ?? this.position;
  }

  /** Makes a ticket of each message that has none, and keeps the position: both or neither. */
  take(messages: Message[], position?: number): void {
    const fresh = messages.filter(({ id }) => !this.known.has(id));
    if (!fresh.length && position === this.position) return;
    const tickets = fresh.map((one) =>
      ({ message: one.id, sender: one.from, subject: one.subject, text: one.text, answer: answerTo(one) }));
    this.write({ tickets, position });
  }
}

/** The whole lines of the journal. */
async function* lines(): AsyncGenerator<Line> {
  let rest = "";
  for await (const chunk of fs.createReadStream(JOURNAL, "utf8")) {
    const parts = (rest + chunk).split("\n");
    rest = parts.pop() ?? "";
    for (const line of parts) yield JSON.parse(line);
  }
}

/** Sends a request. What Postroom refuses is answered too, with its status. */
async function ask(method: string, path: string, query: Query = {}, body?: object): Promise<Asked> {
  const url = `${POSTROOM}${path}?${new URLSearchParams(query)}`;
  const token = process.env.POSTROOM_ADMIN_TOKEN;
  const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
  try {
    const signal = AbortSignal.timeout(60_000);
    const answer = await fetch(url, { method, headers, signal, body: body && JSON.stringify(body) });
    if (answer.status >= 500 || answer.status === 429) throw new Away(await answer.text());
    return { status: answer.status, json: await answer.json() };
  } catch (error) {
    throw error instanceof Away ? error : new Away(`${error}`, { cause: error });
  }
}

/** The answer to a GET that must succeed. */
async function get(path: string, query: Query): Promise<any> {
  const { status, json } = await ask("GET", path, query);
  if (status !== 200) throw new Error(json.detail);
  return json;
}

/** Takes what happened since the last time; waits for it for so many seconds. */
async function follow(desk: Helpdesk, wait: number): Promise<void> {
  if (desk.position === undefined) return readAll(desk);
  const { status, json } = await ask("GET", EVENTS, {
    after: `${desk.position}`, wait: `${wait}`, limit: "100", class: "email/Messages", mask: MASK,
    event: "message.received,message.raw",
  });
  if (status === 410) return readAll(desk); // The feed is no longer kept that far back.
  if (status !== 200) throw new Error(json.detail);
  // A message that was deleted since is told without its values: there is nothing to do for it.
  desk.take(json.events.map((event: any) => event.entity).filter(Boolean), json.next);
}

/** Takes all messages that are there. What comes meanwhile is behind the number asked for first. */
async function readAll(desk: Helpdesk): Promise<void> {
  const { next } = await get(EVENTS, { after: "now" });
  const received = ["and", ["==", ["property", "messageDirection"], "in"],
    ["in", ["property", "messageState"], ["received", "raw"]]];
  for (let last = "00000000-0000-0000-0000-000000000000";;) {
    const filter = JSON.stringify(["and", received, [">", ["property", "id"], last]]);
    const page: Message[] = await get(MESSAGES, { filter, order: "id", limit: "200", mask: MASK });
    if (!page.length) return desk.take([], next);
    desk.take(page, desk.position);
    last = page[page.length - 1]!.id;
  }
}

/** The answer. None if a program wrote the message: two programs could answer each other for ever (RFC 3834). */
function answerTo(message: Message): Answer | undefined {
  const field = (name: string) => message.headers?.find(([one]) => one.toLowerCase() === name)?.[1];
  const isAutomatic = (field("auto-submitted") ?? "no").toLowerCase() !== "no" || field("list-id") || field("precedence");
  const to = message.replyTo.length ? message.replyTo : [message.from];
  if (isAutomatic || !to.every(Boolean)) return undefined;
  const quoted = (message.text ?? "").split("\n").map((line) => `> ${line}\n`).join("");
  const replied = message.messageId ? [message.messageId] : [];
  const content = Buffer.from(quoted).toString("base64");
  return {
    id: idOf(message.id, "answer"), account_id: message.account_id, messageDirection: "out",
    messageState: "sending", to, subject: `Re: ${message.subject ?? ""}`,
    text: "We have your message and will answer soon.\n", inReplyTo: replied,
    references: [...message.references, ...replied], headers: [["Auto-Submitted", "auto-replied"]],
    attachments: [{ name: "your-message.txt", contentType: "text/plain", content }],
  };
}

/** A UUID of version 5, which is always the same for the same names (RFC 9562). */
function idOf(namespace: string, name: string): string {
  const bytes = Buffer.from(namespace.replaceAll("-", ""), "hex");
  const hash = createHash("sha1").update(bytes).update(name).digest();
  hash[6] = (hash[6]! & 0x0f) | 0x50;
  hash[8] = (hash[8]! & 0x3f) | 0x80;
  return hash.toString("hex", 0, 16).replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/** Hands over the answers that are due. */
async function answerAll(desk: Helpdesk): Promise<void> {
  for (const [message, answer] of [...desk.due].slice(0, 100)) {
    const { status, json } = await ask("POST", MESSAGES, {}, answer);
    if (status === 401 || status === 403) throw new Error(json.detail);
    if (json.type?.endsWith(":busy")) throw new Away(json.detail);
    // Postroom has it already if this program was killed before it could note that.
    const isDone = status === 201 || json.type?.endsWith(":exists");
    desk.write({ answered: message, state: isDone ? "done" : json.detail });
  }
}

/** Prints all tickets. */
async function show(): Promise<void> {
  const states = new Map<string, string>();
  for await (const { answered, state } of lines()) if (answered) states.set(answered, state ?? "");
  let number = 0;
  for await (const { tickets = [] } of lines())
    for (const { message, subject, answer } of tickets) {
      number += 1;
      const answerState = answer ? states.get(message) ?? "due" : null;
      console.log(JSON.stringify({ number, message, subject, answer: answer?.id ?? null, answerState }));
    }
}

async function main(): Promise<void> {
  if (process.argv[2] === "tickets") return show();
  const desk = new Helpdesk();
  await desk.open();
  for (let told = ""; ;) {
    try {
      await follow(desk, desk.due.size ? 0 : 30);
      await answerAll(desk);
    } catch (error) {
      if (!(error instanceof Away)) throw error;
      console.error(`waiting: ${error.message}`);
      await new Promise((wake) => setTimeout(wake, 200));
    }
    const now = `${desk.known.size} tickets, ${desk.due.size} answers due`;
    if (told !== now) console.log((told = now));
  }
}

await main();
