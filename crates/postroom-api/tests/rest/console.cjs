// Uses the application in Chromium as somebody without a mouse does, on the screen of a telephone,
// and says what it saw.
"use strict";

const { chromium } = require("playwright-core");
const { CHROMIUM, SERVER, TOKEN, SHOTS } = process.env;

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
  await reach("header form button");
  await sent();
  await page.waitForSelector("#token");
  await browser.close();
  console.log(JSON.stringify(seen));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
