// The page of a run that goes on. What is told and what is drawn come together, as events; what the reader has opened,
// chosen, zoomed and scrolled to stays as it is.

/** What an update tells anew. */
const PARTS = ["lead", "facts", "findings", "stops", "left"];
/** What the reader or the script has changed. */
const OURS = new Set(["open", "hidden"]);
/** What speaks when the reader moves, and not because time passes. */
const SPEAKING = ["detail", "tree-count"];
/** Milliseconds until the next attempt, where the browser makes none. */
const AGAIN = 3000;

/** Makes a node like another. What is alike is not touched, so that it keeps its focus, its selection and its state. */
function patch(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  if (old.nodeType === Node.TEXT_NODE) {
    old.data = fresh.data;
    return;
  }
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name) && !OURS.has(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value && !OURS.has(name)) old.setAttribute(name, value);
  }
  const named = new Map([...old.children].filter((child) => child.id).map((child) => [child.id, child]));
  let next = old.firstChild;
  for (const child of fresh.childNodes) {
    const isAlike = next && !next.id && !child.id && next.nodeName === child.nodeName;
    const same = child.id ? named.get(child.id) : isAlike ? next : undefined;
    if (same && same === next) next = next.nextSibling;
    else old.insertBefore(same ?? document.importNode(child, true), next);
    if (same) patch(same, child);
  }
  while (next) {
    const after = next.nextSibling;
    next.remove();
    next = after;
  }
}

/** What is under the reader's eyes stays there; at the top, what is new comes into sight. */
function inPlace(change) {
  const seen = window.scrollY > 0 ? document.elementFromPoint(window.innerWidth / 2, 100) : null;
  const before = seen?.getBoundingClientRect().top;
  change();
  if (seen?.isConnected) window.scrollBy(0, seen.getBoundingClientRect().top - before);
}

function speak(how) {
  for (const id of SPEAKING) document.getElementById(id).setAttribute("aria-live", how);
}

function put(id, text) {
  const place = document.getElementById(id);
  if (place.textContent !== text) place.textContent = text;
}

class Live {
  constructor() {
    this.skipped = 0;
    for (const type of ["keydown", "pointerdown", "input"]) document.addEventListener(type, () => speak("polite"), true);
    document.getElementById("pause").addEventListener("click", () => this.pause(!this.isPaused));
    document.getElementById("now").addEventListener("click", () => {
      this.drawings.tree.moment = Infinity;
      this.drawings.timeline.view.all();
      document.getElementById("pause").focus();
    });
    this.connect();
  }

  connect() {
    const source = new EventSource("events");
    this.source = source;
    const on = (type, handler) => source.addEventListener(type, handler);
    // Another program can take the address of one that has ended. It does not know this.
    on("hello", ({ data }) => {
      this.isLost = false;
      this.isStranger = data !== document.body.dataset.countersign;
      if (this.isStranger) source.close();
      this.tell();
    });
    on("skipped", ({ data }) => {
      this.skipped += Number(data);
      this.tell();
    });
    on("live", ({ data }) => this.receive(data));
    on("ended", ({ data }) => {
      source.close();
      this.isOver = true;
      this.receive(data);
      this.tell();
    });
    on("error", () => {
      this.isLost = true;
      if (source.readyState === EventSource.CLOSED) setTimeout(() => this.connect(), AGAIN);
      this.tell();
    });
  }

  pause(isPaused) {
    this.isPaused = isPaused;
    const button = document.getElementById("pause");
    button.setAttribute("aria-pressed", isPaused);
    this.tell();
    this.show();
  }

  /** Only the last update counts. */
  receive(data) {
    if (this.isStranger) return;
    this.last = data;
    this.show();
  }

  /** Shows the last update, one at a time. */
  async show() {
    if (this.isBusy) return;
    this.isBusy = true;
    while (this.last && !this.isPaused) {
      const [told, drawn] = this.last.split("\n");
      this.last = null;
      try {
        this.take(await unpack(told).text(), story(await unpack(drawn).json()));
      } catch (error) {
        broken(error);
      }
    }
    this.isBusy = false;
  }

  take(told, story) {
    const fresh = new DOMParser().parseFromString(told, "text/html");
    const known = new Set([...document.querySelectorAll("article.finding")].map((card) => card.id));
    speak("off");
    inPlace(() => {
      for (const id of PARTS) patch(document.getElementById(id), fresh.getElementById(id));
      if (this.drawings) this.drawings.update(story);
      else this.drawings = new Drawings(story, () => this.tell());
    });
    // Who has just come reads all of it; after that, what is new is said.
    if (this.isShown) this.announce([...document.querySelectorAll("article.finding")].filter((card) => !known.has(card.id)));
    this.isShown = true;
    this.tell();
  }

  announce(cards) {
    if (!cards.length) return;
    const what = cards.length === 1 ? "1 new finding" : `${cards.length} new findings`;
    put("news", `${what}: ${cards[0].querySelector("strong").textContent}`);
  }

  tell() {
    const { isPaused, isStranger, isOver, isLost, isShown, skipped } = this;
    const ending = isStranger
      ? "another program answers at this address, and is not believed"
      : isOver ? "ended" : isLost ? "connection lost, trying again" : "";
    const words = [isPaused && "paused by the reader", ending].filter(Boolean).join("; ");
    put("state", words || (isShown ? "live" : "waiting for the first update"));
    put("skipped", skipped ? `${skipped} ${skipped === 1 ? "update" : "updates"} left out: this page was too slow for them` : "");
    document.getElementById("now").hidden = !this.drawings || this.drawings.tree.at === Infinity;
  }
}

new Live();
