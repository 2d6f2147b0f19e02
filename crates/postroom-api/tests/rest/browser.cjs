// Opens the pages for people in Chromium, as somebody with a token does, and says what it saw.
"use strict";

const { chromium } = require("playwright-core");
const { CHROMIUM, SERVER, TOKEN } = process.env;

async function main() {
  const browser = await chromium.launch({
    executablePath: CHROMIUM,
    // It refuses to run as root otherwise. No name leads anywhere.
    args: ["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"],
  });
  const page = await browser.newPage();
  page.setDefaultTimeout(120_000);
  const seen = { messages: [], requests: [], chapters: [] };
  page.on("console", (message) => seen.messages.push(`${message.type()}: ${message.text()}`));
  page.on("pageerror", (error) => seen.messages.push(`error: ${error}`));
  page.on("request", (request) => seen.requests.push(request.url()));
  page.on("requestfailed", (request) => seen.messages.push(`failed: ${request.url()}`));

  await page.goto(`${SERVER}/rest/v1/docs`);
  await page.fill("#token", TOKEN);
  await page.click("#token-form button");
  await page.waitForSelector(".swagger-ui .opblock-tag");
  // All groups are folded at first.
  for (const group of await page.locator(".opblock-tag").all()) await group.click();
  await page.waitForSelector(".swagger-ui .opblock");
  seen.operations = await page.locator(".swagger-ui .opblock").count();
  seen.title = await page.locator(".swagger-ui .title").first().innerText();

  // A request out of the viewer, with the token that was entered.
  const version = page.locator(".opblock", { has: page.locator("[data-path='/rest/v1/version']") }).first();
  await version.locator(".opblock-summary").click();
  await version.locator(".try-out__btn").click();
  const [answer] = await Promise.all([
    page.waitForResponse((response) => response.url() === `${SERVER}/rest/v1/version`),
    version.locator(".execute").click(),
  ]);
  seen.executed = answer.status();
  await version.locator(".live-responses-table .response").first().waitFor();
  seen.shown = await version.locator(".live-responses-table .response").first().innerText();

  const links = await page.locator("nav a").evaluateAll((all) => all.map((one) => one.href));
  for (const link of links.filter((one) => one.includes("/chapters/"))) {
    await page.goto(link);
    const main = page.locator("main");
    const [heading, width, places] = [
      await main.locator("h1").first().innerText(),
      (await main.boundingBox()).width,
      await main.locator("a[href^='/rest/v1/docs/chapters/'][href*='#']").evaluateAll((all) => all.map((one) => one.href)),
    ];
    // The style sheet holds: lines are no wider than people read.
    seen.chapters.push({ heading, width });
    for (const place of places) {
      await page.goto(place);
      const id = decodeURIComponent(new URL(place).hash.slice(1));
      if ((await page.locator(`[id="${id}"]`).count()) !== 1) seen.messages.push(`nothing at ${place}`);
    }
  }
  await browser.close();
  console.log(JSON.stringify(seen));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
