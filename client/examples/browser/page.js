// What a person sees. Everything that is to last is in IndexedDB, by the SDK; this page remembers
// only which device it keeps and whom it showed last.
import start, { Chat } from "./pkg/browser.js";

const at = (id) => document.getElementById(id);
const say = (text) => { at("state").textContent = text; };
const ticks = { sent: "✓", queued: "waits", accepted: "✓", delivered: "✓✓", read: "✓✓ read", failed: "failed" };

// Not localStorage: what that is told may be lost for some seconds if the browser is killed.
const own = await new Promise((resolve, reject) => {
  const asked = indexedDB.open("page", 1);
  asked.onupgradeneeded = () => asked.result.createObjectStore("settings");
  asked.onsuccess = () => resolve(asked.result);
  asked.onerror = () => reject(asked.error);
});

function remember(settings) {
  return new Promise((resolve, reject) => {
    const all = own.transaction("settings", "readwrite", { durability: "strict" });
    for (const [key, value] of Object.entries(settings)) all.objectStore("settings").put(value, key);
    all.oncomplete = () => resolve();
    all.onabort = () => reject(all.error);
  });
}

function remembered(key) {
  return new Promise((resolve, reject) => {
    const asked = own.transaction("settings").objectStore("settings").get(key);
    asked.onsuccess = () => resolve(asked.result ?? null);
    asked.onerror = () => reject(asked.error);
  });
}

let chat = null;
let shown = await remembered("whom");
// Messages that the SDK told of since the page was loaded.
document.body.dataset.told = 0;

async function told(what, whom) {
  if (what === "message") document.body.dataset.told++;
  if (what === "connected") say(`connected as ${chat.account()}`);
  if (what === "disconnected") say("not connected: it is tried again");
  if (what === "ended") say("this device has stopped: it is open elsewhere, or its session has ended");
  if (what === "message" && shown === null) show(whom);
  else if (whom !== null && whom === shown) await render();
}

async function show(whom) {
  shown = await chat.find(whom);
  await remember({ whom: shown });
  at("whom").value = whom;
  await render();
}

// One at a time: a later one sees what an earlier one saw.
let rendering = Promise.resolve();
function render() {
  rendering = rendering.then(async () => {
    const list = await chat.read(shown);
    at("messages").replaceChildren(...list.map(({ id, own, text, status }) => {
      const line = document.createElement("li");
      line.dataset.id = id;
      line.dataset.status = status;
      line.className = own ? "own" : "theirs";
      // As text: whatever others write is no markup.
      line.append(text);
      if (own) {
        const small = document.createElement("small");
        small.textContent = ` ${ticks[status] ?? "…"}`;
        line.append(small);
      }
      return line;
    }));
  }).catch(failed);
  return rendering;
}

function failed(err) {
  say(`that failed: ${err.message ?? err}`);
}

// Tells of one open device only: what is told before `chat` is set waits for it.
async function begin(opening) {
  const ready = Promise.withResolvers();
  chat = await opening((what, whom) => ready.promise.then(() => told(what, whom)).catch(failed));
  ready.resolve();
  say(`this is ${chat.account()}`);
  at("account").hidden = true;
  at("chat").hidden = false;
  if (shown !== null) await show(shown);
}

at("account").addEventListener("submit", async (event) => {
  event.preventDefault();
  const [homeserver, name, password] = ["homeserver", "name", "password"].map((id) => at(id).value);
  try {
    // Without it, a browser that lacks room may throw the database away.
    await navigator.storage?.persist?.();
    await begin((tell) => Chat.register(homeserver, name, password, tell));
    await remember({ homeserver, name });
  } catch (err) { failed(err); }
});

at("with").addEventListener("submit", (event) => {
  event.preventDefault();
  show(at("whom").value).catch(failed);
});

at("message").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await chat.send(shown, at("text").value);
    at("text").value = "";
    await render();
  } catch (err) { failed(err); }
});

await start();
const [homeserver, name] = [await remembered("homeserver"), await remembered("name")];
if (name !== null) {
  await begin((tell) => Chat.open(homeserver, name, tell)).catch(failed);
} else {
  at("account").hidden = false;
  say("no device yet");
}
