// What people do on any page: press what asks first, answer the question, read the line that says what was done.

import assert from "node:assert/strict";

/** The line that says what was done; fails on one that says that it was not. */
export async function told(page, words) {
  const flash = page.locator("main > .flash, .flash[role=status], .flash[role=alert]").first();
  await flash.waitFor();
  const text = (await flash.innerText()).replaceAll(/\s+/g, " ").trim();
  assert.match(await flash.getAttribute("class"), /\bok\b/, `it says: ${text}`);
  if (words) assert.match(text, words);
  return text;
}

/** Presses what asks first, and says yes in the dialog. */
export async function confirm(page, button, words) {
  await button.click();
  await answer(page, words);
}

/** Says yes in the dialog that is open or opens. */
export async function answer(page, words) {
  const dialog = page.locator("#dialog[open] #confirm");
  await dialog.waitFor();
  const typed = dialog.locator("#typed");
  if (await typed.count()) await typed.fill(await typed.getAttribute("pattern"));
  await dialog.locator("form button.btn").last().click();
  await told(page, words);
}

/** A button or link by what stands on it, in the page's own part. */
export const press = (page, name, options = {}) => page.locator("main").getByRole(options.role ?? "button", { name, exact: options.exact ?? true }).first();
export const link = (page, name) => press(page, name, { role: "link" });

/** The id in the address of the page. */
export const idOf = (page) => decodeURIComponent(new URL(page.url()).pathname.split("/").pop());
