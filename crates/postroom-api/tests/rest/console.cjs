// Uses the application in Chromium as somebody without a mouse does, on the screen of a telephone,
// and says what it saw.
"use strict";

const { createHmac } = require("node:crypto");
const { chromium } = require("playwright-core");
const { CHROMIUM, SERVER, TOKEN, PASSWORD, SHOTS } = process.env;

// The app of a user: the code of a key in base32 at a time step.
function codeOf(key, step) {
  const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  const bits = [...key].map((letter) => letters.indexOf(letter).toString(2).padStart(5, "0")).join("");
  const bytes = bits.match(/.{8}/g).map((byte) => parseInt(byte, 2));
  const counter = Buffer.alloc(8);
  counter.writeBigInt64BE(BigInt(step));
  const tag = createHmac("sha1", Buffer.from(bytes)).update(counter).digest();
  const number = tag.readUInt32BE(tag[19] & 15) & 0x7fffffff;
  return String(number % 1_000_000).padStart(6, "0");
}

async function main() {
  const browser = await chromium.launch({
    executablePath: CHROMIUM,
    // It refuses to run as root otherwise. No name leads anywhere.
    args: ["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"],
  });
  const page = await browser.newPage({ viewport: { width: 360, height: 740 } });
  page.setDefaultTimeout(120_000);
  const seen = { messages: [], requests: [], tooWide: [], nameless: [], back: [] };
  page.on("console", (message) => {
    // A browser tells each refused form. That is what is tried here.
    if (!/status of 4\d\d/.test(message.text())) seen.messages.push(`${message.type()}: ${message.text()}`);
  });
  page.on("pageerror", (error) => seen.messages.push(`error: ${error}`));
  page.on("request", (request) => seen.requests.push(request.url()));
  page.on("requestfailed", (request) => seen.messages.push(`failed: ${request.url()}`));
  const key = (name) => page.keyboard.press(name);
  const type = (text) => page.keyboard.type(text);

  // Presses Tab until the focus is where it is wanted.
  const reach = async (selector) => {
    for (let count = 0; count < 200; count += 1) {
      await key("Tab");
      if (await page.evaluate((wanted) => document.activeElement?.matches(wanted), selector)) return;
    }
    throw new Error(`Tab does not reach ${selector} on ${page.url()}`);
  };
  const looked = async (name) => {
    const wide = await page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth);
    if (wide) seen.tooWide.push(name);
    const nameless = await page.evaluate(() =>
      [...document.querySelectorAll("input:not([type=hidden]), select")]
        .filter((field) => field.labels.length === 0)
        .map((field) => field.name));
    seen.nameless.push(...nameless);
    if (SHOTS) await page.screenshot({ path: `${SHOTS}/${name}.png`, fullPage: true });
  };
  const sent = async () => {
    await Promise.all([page.waitForNavigation(), key("Enter")]);
  };

  await page.goto(`${SERVER}/`);
  await looked("sign-in");
  await reach("#token");
  await type(TOKEN);
  await sent();
  await page.waitForSelector("h1:text('Overview')");
  await looked("overview");

  await reach("a[href='/configuration']");
  await sent();
  await page.waitForSelector("h1:text('Configuration')");
  await looked("configuration");
  await reach("#role-1-name");
  await type("email1");
  await key("Tab");
  await type("email");
  await reach("#role-1-group");
  await type("11330");
  await key("Tab");
  // im1 has this order.
  await type("1");
  await reach("button[value='save']");
  await sent();
  await looked("refused");
  seen.invalid = await page.locator("[aria-invalid]").first().getAttribute("id");
  // The problem leads to its field.
  await reach("a[href='#role-1-order']");
  await key("Enter");
  await reach("#role-1-order");
  await key("ControlOrMeta+a");
  await type("2");
  await reach("button[value='check']");
  await sent();
  await page.waitForSelector("text=It can be saved");
  await looked("checked");
  await reach("button[value='save']");
  await sent();
  await page.waitForSelector("text=Saved as version 2");
  await looked("saved");

  await reach("a[href='/versions']");
  await sent();
  await looked("versions");
  await reach("a[href='/versions/1']");
  await sent();
  await looked("version");
  await reach("main form button");
  await sent();
  seen.back.push(new URL(page.url()).pathname);

  // Tokens: made, shown once, renamed, refused, deleted.
  await reach("a[href='/tokens']");
  await sent();
  await looked("tokens");
  await reach("#name");
  await type("crm");
  await reach("#role");
  await type("reader");
  await reach("#expiresAt");
  await reach("button[value='token']");
  await sent();
  seen.value = await page.locator("#value").inputValue();
  await looked("token-made");
  await reach("main a[href='/tokens']");
  await sent();
  await looked("tokens-one");
  await reach("main td a");
  await sent();
  await reach("#name");
  await key("ControlOrMeta+a");
  await type("shop");
  await reach("button[value='rename']");
  await sent();
  await page.waitForSelector("h1:text('Token shop')");
  await reach("button[value='disable']");
  await sent();
  await page.waitForSelector("button[value='enable']");
  await looked("token");
  await reach("a[href$='/delete']");
  await sent();
  await looked("token-delete");
  await reach("button[value='delete']");
  await sent();
  seen.back.push(new URL(page.url()).pathname);

  // Domains: made, renamed, suspended, given a token; deleted only under their name.
  await reach("a[href='/domains']");
  await sent();
  await looked("domains");
  await reach("#name");
  await type("acme");
  await key("Tab");
  await type("Acme");
  await reach("button[value='make']");
  await sent();
  await page.waitForSelector("h1:text('Domain acme')");
  await looked("domain");
  await reach("button[value='suspend']");
  await sent();
  await page.waitForSelector("text=It is suspended");
  await reach("button[value='resume']");
  await sent();
  await reach("#name");
  await type("first");
  await reach("#role");
  await type("admin");
  await reach("button[value='token']");
  await sent();
  await looked("domain-token");
  await reach("main a[href^='/domains/']");
  await sent();
  await reach("a[href$='/delete']");
  await sent();
  await reach("#name");
  await type("other");
  await reach("button[value='delete']");
  await sent();
  await page.waitForSelector("[aria-invalid]#name");
  await looked("domain-delete");
  await reach("#name");
  await type("acme");
  await reach("button[value='delete']");
  await sent();
  // It has a token, so it stays, and the page says so.
  await page.waitForSelector("[role=alert]");
  seen.stays = await page.locator("[role=alert]").innerText();
  await looked("domain-stays");

  // Users: made, given another password, refused and let in again.
  await reach("a[href='/users']");
  await sent();
  await looked("users");
  await reach("#login");
  await type("ben");
  await key("Tab");
  await type("Ben");
  await key("Tab");
  await type("reader");
  await key("Tab");
  await type("short");
  await reach("button[value='make']");
  await sent();
  await page.waitForSelector("[aria-invalid]#password");
  await looked("user-refused");
  await reach("#password");
  await type(PASSWORD);
  await reach("button[value='make']");
  await sent();
  await page.waitForSelector("h1:text('User ben')");
  await looked("user");
  await reach("#password");
  await type("another horse battery");
  await sent();
  await reach("button[value='disable']");
  await sent();
  await page.waitForSelector("button[value='enable']");
  const user = new URL(page.url()).pathname;

  // The audit: a filter, and the way to an entity.
  await reach("a[href='/audit']");
  await sent();
  await looked("audit");
  await reach("#event");
  await type("changed");
  await reach("main form button");
  await sent();
  await page.waitForSelector("td:text('changed')");
  await looked("audit-changes");
  await reach(`main td a[href='${user}']`);
  await sent();
  await page.waitForSelector("h1:text('User ben')");

  // The same pages on a wide screen.
  await page.setViewportSize({ width: 1280, height: 800 });
  const wide = ["/", "/configuration", "/versions", "/versions/2", "/tokens", "/domains", "/users", user, "/audit"];
  for (const path of wide) {
    await page.goto(`${SERVER}${path}`);
    await looked(`wide${path.replaceAll("/", "-")}`);
  }

  await reach("header form button");
  await sent();
  await page.waitForSelector("#token");

  // A user sets a second factor up, and signs in with it, on the screen of a telephone again.
  await page.setViewportSize({ width: 360, height: 740 });
  const signIn = async () => {
    await reach("#login");
    await type("anna");
    await key("Tab");
    await type(PASSWORD);
    await sent();
  };
  await signIn();
  await page.waitForSelector("h1:text('Overview')");
  await reach("a[href='/second-factor']");
  await sent();
  await looked("second-factor");
  await reach("button[value='begin']");
  await sent();
  const secret = await page.locator("#secret").inputValue();
  await looked("second-factor-key");
  const step = Math.floor(Date.now() / 30_000);
  await reach("#code");
  await type(codeOf(secret, step));
  await sent();
  seen.recoveryCodes = await page.locator(".codes code").count();
  await looked("second-factor-codes");
  await page.setViewportSize({ width: 1280, height: 800 });
  await looked("wide-second-factor-codes");
  await page.setViewportSize({ width: 360, height: 740 });
  await reach("main a[href='/second-factor']");
  await sent();
  await page.waitForSelector("button[value='remove']");
  await looked("second-factor-on");
  await reach("header form button");
  await sent();
  await signIn();
  await page.waitForSelector("h1:text('Sign in with a code')");
  await looked("sign-in-code");
  // The focus is on the password, which is entered again.
  await type(PASSWORD);
  await key("Tab");
  await type(codeOf(secret, step + 1));
  await sent();
  await page.waitForSelector("h1:text('Overview')");
  await browser.close();
  console.log(JSON.stringify(seen));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
