"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const svg = document.querySelector("svg.picture");
  const panel = document.getElementById("panel");
  const list = document.getElementById("list");
  const search = document.getElementById("search");
  const said = document.getElementById("said");
  const parts = [...svg.querySelectorAll("[data-w]")].map((element) => ({
    element,
    who: new Set(element.dataset.w.split(" ").map(Number)),
  }));
  const rows = [...svg.querySelectorAll("[data-picks]")];
  const numberOf = (row) => Number(row.dataset.picks);
  let picked = null;
  let pointed = null;
  let found = new Set(data.workspaces.keys());

  const make = (name, text, kind) => {
    const element = document.createElement(name);
    if (text !== undefined) element.textContent = text;
    if (kind) element.className = kind;
    return element;
  };
  const sign = { added: "+ ", changed: "~ ", replaced: "± ", removed: "- " };
  const marked = (thing) => (sign[thing.mark] || "") + thing.name;

  // Everything that is not of the workspace looked at, or not found by the search, steps back.
  const highlight = () => {
    const one = pointed ?? picked;
    const all = one === null && found.size === data.workspaces.length;
    const shown = one === null ? found : new Set([one]);
    for (const { element, who } of parts) {
      const here = all || [...who].some((number) => shown.has(number));
      element.classList.toggle("faded", !here);
    }
    for (const row of rows) {
      row.classList.toggle("picked", numberOf(row) === picked);
      row.setAttribute("aria-pressed", String(numberOf(row) === picked));
    }
  };

  const way = (one, zones) => {
    const box = make("details");
    const head = box.appendChild(make("summary"));
    const partly = one.from.length < zones ? one.from : [];
    head.append(make("small", one.class), make("span", one.to));
    head.append(make("small", [one.via, one.rule, ...partly].filter(Boolean).join(", ")));
    head.append(make("span", one.verdict, "verdict " + one.verdict.replace(" ", "-")));
    const body = box.appendChild(make("div", undefined, "body"));
    const say = (label, text) => {
      if (!text) return;
      const line = body.appendChild(make("p"));
      line.append(make("strong", label + ": "), text);
    };
    say("via", one.via);
    say("from", one.from.join(", "));
    say("rule", one.rule);
    say("because", one.because);
    say("users see", one.symptom);
    say("fix", one.fix);
    if (one.hops) {
      const hops = body.appendChild(make("dl", undefined, "hops"));
      for (const [step, what] of one.hops) hops.append(make("dt", step), make("dd", what));
    }
    box.open = one.verdict === "blocked";
    return box;
  };

  const show = () => {
    panel.replaceChildren();
    list.hidden = picked !== null;
    if (picked === null) return;
    const one = data.workspaces[picked];
    const back = panel.appendChild(make("button", "← all workspaces", "back"));
    back.type = "button";
    back.addEventListener("click", () => pick(null));
    panel.append(make("h2", marked(one)));
    for (const fact of one.facts) panel.append(make("p", fact, "quiet"));
    const ways = (all) => all.map((each) => way(each, each.from.length && one.zones));
    const needed = one.ways.filter((way) => way.verdict !== "not needed");
    const others = one.ways.filter((way) => way.verdict === "not needed");
    if (needed.length) panel.append(make("h3", "What it reaches, and how"), ...ways(needed));
    if (others.length) panel.append(make("h3", "Not needed"), ...ways(others));
    if (!one.ways.length) panel.append(make("p", one.none));
    const count = (verdict) => one.ways.filter((way) => way.verdict === verdict).length;
    said.textContent =
      `${one.name}: ${count("proven")} proven, ${count("blocked")} blocked, ${count("unknown")} unknown`;
  };

  const pick = (number) => {
    picked = number;
    pointed = null;
    if (number === null) said.textContent = "";
    show();
    highlight();
  };

  for (const row of rows) {
    row.addEventListener("pointerenter", () => { pointed = numberOf(row); highlight(); });
    row.addEventListener("pointerleave", () => { pointed = null; highlight(); });
    row.addEventListener("click", () => pick(picked === numberOf(row) ? null : numberOf(row)));
    row.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        pick(picked === numberOf(row) ? null : numberOf(row));
      }
    });
  }
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") pick(null);
  });

  const entries = data.workspaces.map((one, number) => {
    const entry = make("li");
    const button = entry.appendChild(make("button", marked(one)));
    button.type = "button";
    const blocked = one.ways.filter((way) => way.verdict === "blocked").length;
    if (blocked) button.append(" ", make("span", blocked + " blocked", "verdict blocked"));
    button.addEventListener("click", () => pick(number));
    button.addEventListener("pointerenter", () => { pointed = number; highlight(); });
    button.addEventListener("pointerleave", () => { pointed = null; highlight(); });
    list.querySelector("#names").append(entry);
    return entry;
  });

  const words = data.workspaces.map((one) =>
    [one.name, one.mark, ...one.facts, ...one.ways.flatMap((way) => [way.verdict, way.rule, way.to, way.via])]
      .join("\n").toLowerCase());
  search.addEventListener("input", () => {
    const wanted = search.value.trim().toLowerCase();
    found = new Set([...words.keys()].filter((number) => words[number].includes(wanted)));
    entries.forEach((entry, number) => { entry.hidden = !found.has(number); });
    pick(null);
    said.textContent = wanted ? `${found.size} of ${words.length} workspaces` : "";
  });
})();
