// A message goes out and comes back, through the types that openapi-typescript made.

import createClient from "openapi-fetch";
import type { components, paths } from "./postroom.js";

type Problem = components["schemas"]["Problem"];

declare const process: { env: Record<string, string> };
const env = process.env;
const client = createClient<paths>({
  baseUrl: env.POSTROOM,
  headers: { Authorization: `Bearer ${env.POSTROOM_ADMIN_TOKEN}` },
});

/** The answer, if it is no problem. */
function done<T>(answer: { data?: T; error?: Problem }): NonNullable<T> {
  if (answer.error !== undefined || answer.data === undefined || answer.data === null) {
    throw new Error(JSON.stringify(answer.error));
  }
  return answer.data;
}

/** Asks until the answer is what is wanted. */
async function waitFor<T>(ask: () => Promise<T>, wanted: (found: T) => boolean): Promise<T> {
  for (;;) {
    const found = await ask();
    if (wanted(found)) return found;
    await new Promise((wake) => setTimeout(wake, 100));
  }
}

/** The only entity that was created. */
function one<T>(created: T | T[]): T {
  if (Array.isArray(created)) throw new Error("a list");
  return created;
}

/** The entities of a list, which other clients can also have as lines or comma-separated values. */
function rows<T>(list: T[] | string): T[] {
  if (typeof list === "string") throw new Error("no JSON");
  return list;
}

const refused = await client.POST("/rest/v1/model/email/Profiles", { body: { name: "" } });
if (refused.error?.errors?.[0]?.property !== "name") throw new Error("it was not refused");

const profile = one(done(await client.POST("/rest/v1/model/email/Profiles", {
  body: {
    name: "Sandbox",
    imapHost: "localhost", imapPort: Number(env.IMAPS),
    smtpHost: "localhost", smtpPort: Number(env.SMTPS),
  },
})));
const account = one(done(await client.POST("/rest/v1/model/email/Accounts", {
  body: {
    profile_id: profile.id, address: "anna@demo.test", password: "secret",
    options: { after_read_timeout: 1 },
  },
})));
const [inbox] = await waitFor(
  async () => rows(done(await client.GET("/rest/v1/model/email/Folders", {
    params: { query: { account_id: account.id, name: "INBOX" } },
  }))),
  (found) => found.length > 0,
);
done(await client.PATCH("/rest/v1/model/email/Folders/{id}", {
  params: { path: { id: inbox!.id! } }, body: { enabled: true },
}));
const message = one(done(await client.POST("/rest/v1/model/email/Messages", {
  params: { header: { "Idempotency-Key": "round-trip" } },
  body: {
    account_id: account.id, messageDirection: "out", messageState: "sending",
    to: ["anna@demo.test"], subject: "There and back", text: "Hello\n",
  },
})));
const sent = await waitFor(
  async () => done(await client.GET("/rest/v1/model/email/Messages/{id}", {
    params: { path: { id: message.id } },
  })),
  (found) => found.messageState !== "sending",
);
if (sent.messageState !== "sent") throw new Error(JSON.stringify(sent));
const [received] = await waitFor(
  async () => rows(done(await client.GET("/rest/v1/model/email/Messages", {
    params: { query: { messageState: "received", subject: "There and back" } },
  }))),
  (found) => found.length > 0,
);
if (received?.text !== "Hello\n") throw new Error(JSON.stringify(received));
