// Keeps the link page true: asks for the state every second while the page is looked at, and counts the code's time down.
const POLL_MS = 1000;
const TIMEOUT_MS = 8000;
const box = document.getElementById("link");
const trouble = document.getElementById("link-trouble");
const byCode = document.getElementById("link-by-code");

let version = box.dataset.version;
let ahead = Number(box.dataset.now) - Date.now(); // how far the server's clock is ahead of this one
let fullTime = 0; // of the code on show, in ms, for the bar
let timer = 0;
let stopped = false;

async function poll() {
    timer = 0;
    try {
        const answer = await fetch(box.dataset.url, {
            headers: { "If-None-Match": `"${version}"`, Accept: "application/json" },
            cache: "no-store",
            redirect: "error",
            signal: AbortSignal.timeout(TIMEOUT_MS),
        });
        await take(answer);
    } catch {
        say("The server does not answer. This page goes on by itself when it does.");
    }
    schedule();
}

async function take(answer) {
    const now = Number(answer.headers.get("X-Now"));
    if (now) ahead = now - Date.now();
    if (answer.status === 304) return say("");
    if (answer.status === 401) return end("You have been signed out. ", "Sign in again", box.dataset.login);
    if (answer.status === 403) return end("You may no longer link this session.");
    if (answer.status === 404) return end("This session no longer exists.");
    if (!answer.ok) return say("The server has a problem. This page goes on by itself when it is solved.");
    const { version: newer, html } = await answer.json();
    version = newer;
    box.innerHTML = html; // rendered and escaped by the server
    shown();
    say("");
}

function schedule() {
    if (!stopped && !timer && !document.hidden) timer = setTimeout(poll, POLL_MS);
}

function end(text, linkText, href) {
    stopped = true;
    say(text);
    if (href) {
        const link = document.createElement("a");
        Object.assign(link, { href, textContent: linkText, className: "rw-link" });
        trouble.append(link);
    }
}

function say(text) {
    if (trouble.textContent !== text) trouble.textContent = text;
    trouble.hidden = text === "";
    box.classList.toggle("rw-stale", text !== "");
}

function shown() {
    fullTime = Math.max(0, left());
    byCode.hidden = ["linked", "stopped", "leaving", "connecting"].includes(box.firstElementChild?.dataset.phase);
    tick();
}

function left() {
    const expires = Number(box.querySelector("[data-expires]")?.dataset.expires ?? 0);
    return expires - (Date.now() + ahead);
}

function tick() {
    const countdown = box.querySelector("[data-expires]");
    if (!countdown) return;
    const seconds = Math.max(0, Math.ceil(left() / 1000));
    const minutes = Math.floor(seconds / 60);
    countdown.querySelector("[data-left]").textContent =
        seconds === 0 ? "Getting the next code…" : `${minutes}:${String(seconds % 60).padStart(2, "0")} left`;
    countdown.querySelector("i").style.width = `${fullTime ? Math.min(100, Math.max(0, (left() / fullTime) * 100)) : 0}%`;
    box.querySelector(".rw-qr, .rw-pairing")?.classList.toggle("rw-spent", seconds === 0);
}

document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    timer = 0;
    if (!document.hidden && !stopped) poll();
});
setInterval(tick, 250);
shown();
schedule();
