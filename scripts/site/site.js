// The search, and what else the pages do by themselves.
"use strict";

const search = document.getElementById("site-search");
const results = document.getElementById("site-results");

// The index is a script, as nothing else can be read without a server.
const index = (() => {
    let loading = null;
    return () => loading ??= new Promise((resolve) => {
        const script = document.createElement("script");
        script.src = "search-index.js";
        script.onload = () => resolve(window.searchIndex.map(([kind, title, where, href, text]) => {
            return {kind, title, where, href, text, low: title.toLowerCase(), lowText: text.toLowerCase()};
        }));
        document.head.append(script);
    });
})();

// How well an entry answers to all words: 0 if one of them isn't there.
function score(entry, words) {
    let sum = 0;
    for (const word of words) {
        // A function is known by its name as well as with that of its module.
        const name = entry.low.slice(Math.max(0, entry.low.indexOf(word)));
        const at = entry.low.indexOf(word);
        const before = at > 0 ? entry.low[at - 1] : "";
        const after = name[word.length] ?? "";
        if (entry.low === word) sum += 100;
        else if (at >= 0 && /^[^a-z0-9_]?$/.test(before) && /^[^a-z0-9_]?$/.test(after)) sum += 70;
        else if (at >= 0 && /^[^a-z0-9]?$/.test(before)) sum += 50;
        else if (at >= 0) sum += 30;
        else if (entry.lowText.includes(word)) sum += 5;
        else return 0;
    }
    return sum + {module: 12, guide: 10, function: 8, section: 6, type: 4}[entry.kind] || sum;
}

// Text in which the words are marked.
function marked(text, words) {
    const span = document.createElement("span");
    const quoted = words.map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
    text.split(new RegExp(`(${quoted.join("|")})`, "i")).forEach((part, i) => {
        if (i % 2 === 0) return span.append(part);
        const mark = document.createElement("mark");
        mark.textContent = part;
        span.append(mark);
    });
    return span;
}

// The text around the first word that is in it.
function excerpt(entry, words) {
    const at = words.map((word) => entry.lowText.indexOf(word)).filter((at) => at >= 0);
    const from = at.length ? Math.max(0, Math.min(...at) - 40) : 0;
    return (from > 0 ? "\u2026" : "") + entry.text.slice(from, from + 160);
}

function item(entry, words, i) {
    const link = document.createElement("a");
    link.href = entry.href;
    link.tabIndex = -1;
    const part = (name, content) => {
        const span = document.createElement("span");
        span.className = name;
        span.append(content);
        link.append(span);
    };
    part("title", marked(entry.title, words));
    part("in", entry.kind === "section" ? entry.where : entry.kind);
    part("text", marked(excerpt(entry, words), words));
    const li = document.createElement("li");
    li.id = `result-${i}`;
    li.setAttribute("role", "option");
    li.append(link);
    return li;
}

async function show() {
    const query = search.value;
    const words = query.toLowerCase().split(/\s+/).filter((word) => word);
    if (!words.length) return hide();
    const found = (await index())
        .map((entry) => ({entry, score: score(entry, words)}))
        .filter(({score}) => score > 0)
        .sort((a, b) => b.score - a.score || a.entry.title.length - b.entry.title.length)
        .slice(0, 40);
    // More may have been typed meanwhile.
    if (search.value !== query) return;
    results.replaceChildren(...found.map(({entry}, i) => item(entry, words, i)));
    if (!found.length) {
        const li = document.createElement("li");
        li.className = "none";
        li.textContent = "Nothing has all of these words.";
        results.append(li);
    }
    results.hidden = false;
    results.scrollTop = 0;
    search.setAttribute("aria-expanded", "true");
    select(0);
}

function hide() {
    results.hidden = true;
    search.setAttribute("aria-expanded", "false");
    search.removeAttribute("aria-activedescendant");
}

function selected() {
    return results.querySelector("[aria-selected=true]");
}

function select(to) {
    const options = results.querySelectorAll("[role=option]");
    if (!options.length) return search.removeAttribute("aria-activedescendant");
    selected()?.removeAttribute("aria-selected");
    const option = options[(to + options.length) % options.length];
    option.setAttribute("aria-selected", "true");
    option.scrollIntoView({block: "nearest"});
    search.setAttribute("aria-activedescendant", option.id);
}

search.addEventListener("input", show);
search.addEventListener("focus", show);
search.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    const at = [...results.children].indexOf(selected());
    if (event.key === "ArrowDown") select(at + 1);
    else if (event.key === "ArrowUp") select(at - 1);
    else if (event.key === "Enter") selected()?.firstChild.click();
    else if (event.key === "Escape") search.blur();
    else return;
    event.preventDefault();
});
search.addEventListener("blur", () => hide());
// A press on a result takes the focus, and the results with it, before it is a click.
results.addEventListener("mousedown", (event) => event.preventDefault());
results.addEventListener("click", () => search.blur());

document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, textarea, [contenteditable]");
    if (event.key === "/" && !event.ctrlKey && !event.metaKey && !event.altKey && !(typing && typing.id !== "site-menu")) {
        event.preventDefault();
        search.focus();
        search.select();
    }
});

// An address that ends with #search=words has looked for them.
function searchOfAddress() {
    if (!location.hash.startsWith("#search=")) return;
    search.value = decodeURIComponent(location.hash.slice("#search=".length));
    search.focus();
    show();
}
addEventListener("hashchange", searchOfAddress);
searchOfAddress();

// What is on the page stands beside it, and above it where there is no room: closed then.
const contents = document.querySelector(".contents");
const narrow = matchMedia("(max-width: 61.99rem)");
const fit = () => contents && (contents.open = !narrow.matches);
narrow.addEventListener("change", fit);
fit();

// The page that is read is in sight among the pages, and the section among the sections.
function reveal(list, link) {
    const outer = list.getBoundingClientRect(), inner = link.getBoundingClientRect();
    if (inner.top < outer.top + 30 || inner.bottom > outer.bottom - 30) {
        list.scrollTop += inner.top - outer.top - outer.height / 2;
    }
}
const pages = document.querySelector(".pages");
reveal(pages, pages.querySelector("[aria-current]"));

const links = new Map([...contents?.querySelectorAll("a") ?? []].map((a) => [decodeURIComponent(a.hash.slice(1)), a]));
const headings = [...document.querySelectorAll("article [id]")].filter((heading) => links.has(heading.id));
function follow() {
    const here = headings.findLast?.((heading) => heading.getBoundingClientRect().top < innerHeight / 4);
    const link = here && links.get(here.id);
    if (link?.classList.contains("here")) return;
    contents.querySelector(".here")?.classList.remove("here");
    if (!link) return;
    link.classList.add("here");
    if (!narrow.matches) reveal(contents, link);
}
if (headings.length) {
    let due = false;
    addEventListener("scroll", () => {
        if (due) return;
        due = true;
        requestAnimationFrame(() => { due = false; follow(); });
    }, {passive: true});
    follow();
}

// Elsewhere on the same page is no other page: the pages don't stay in front of it.
document.addEventListener("click", (event) => {
    const menu = document.getElementById("site-menu");
    if (menu.checked && event.target.closest("main, .pages a")) menu.checked = false;
});
