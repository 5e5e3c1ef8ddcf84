// Added to a copy of the page by test_graph.py: does what a person does, and writes down what it finds.
"use strict";
(() => {
  const found = {
    dark: matchMedia("(prefers-color-scheme: dark)").matches,
    errors: [], resources: [], clipped: [], overlapping: [], pale: [], unlike: [],
    ways: {}, told: {}, found: {}, marks: {}, changes: [],
  };
  addEventListener("error", (event) => found.errors.push(String(event.message)));
  document.addEventListener("securitypolicyviolation", (event) =>
    found.errors.push(`${event.violatedDirective}: ${event.blockedURI}`));
  for (const name of ["error", "warn"]) {
    console[name] = (...words) => found.errors.push(words.join(" "));
  }

  const inside = (a, b) =>
    a.left >= b.left - 0.5 && a.right <= b.right + 0.5 && a.top >= b.top - 0.5 && a.bottom <= b.bottom + 0.5;
  const overlap = (a, b) =>
    a.left < b.right - 0.5 && b.left < a.right - 0.5 && a.top < b.bottom - 0.5 && b.top < a.bottom - 0.5;

  // The luminance of a colour, as WCAG has it, and the contrast of two.
  const luminance = (color) => {
    const [r, g, b] = color.match(/[\d.]+/g).slice(0, 3).map((part) => {
      const value = part / 255;
      return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (one, other) => {
    const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const filled = (color) => color !== "none" && !/, 0\)$/.test(color) && color !== "transparent";

  const svg = document.querySelector("svg.picture");
  const texts = () => {
    const all = [...svg.querySelectorAll("text")].map((element) => ({
      element, text: element.textContent, at: element.getBoundingClientRect(),
    }));
    for (const { element, text, at } of all) {
      const box = element.parentElement.querySelector(":scope > rect");
      if (!inside(at, box.getBoundingClientRect())) found.clipped.push(text);
      let below = element.parentElement;
      let paper = "none";
      for (; below !== svg && !filled(paper); below = below.parentElement) {
        paper = getComputedStyle(below.querySelector(":scope > rect")).fill;
      }
      if (!filled(paper)) paper = getComputedStyle(svg).backgroundColor;
      if (contrast(getComputedStyle(element).fill, paper) < 4.5) found.pale.push(text);
    }
    all.forEach((one, index) => {
      for (const other of all.slice(index + 1)) {
        if (overlap(one.at, other.at)) found.overlapping.push(`${one.text} / ${other.text}`);
      }
    });
  };

  const panel = (where) => {
    for (const element of where.querySelectorAll("*")) {
      if (element.scrollWidth > element.clientWidth + 1 && getComputedStyle(element).display !== "inline") {
        found.clipped.push(element.textContent);
      }
      const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
      if (!own) continue;
      let paper = "transparent";
      for (let below = element; below && !filled(paper); below = below.parentElement) {
        paper = getComputedStyle(below).backgroundColor;
      }
      if (filled(paper) && contrast(getComputedStyle(element).color, paper) < 4.5) {
        found.pale.push(element.textContent);
      }
    }
  };

  const rows = () => [...svg.querySelectorAll("[data-picks]")];
  const faded = (element) => element.classList.contains("faded");
  const expect = (good, what) => { if (!good) found.unlike.push(what); };
  const key = (element, name) =>
    element.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true, cancelable: true }));

  const people = () => {
    const all = rows();
    const aside = document.querySelector("#panel");
    for (const row of all) {
      const number = row.dataset.picks;
      row.dispatchEvent(new PointerEvent("pointerenter"));
      const mine = [...svg.querySelectorAll("[data-w]")];
      for (const part of mine) {
        expect(faded(part) !== part.dataset.w.split(" ").includes(number), `${number} points at its own parts`);
      }
      row.dispatchEvent(new PointerEvent("pointerleave"));
      expect(!svg.querySelector(".faded"), `${number} lets go`);
      row.focus();
      expect(document.activeElement === row, `${number} takes the focus`);
      key(row, Number(number) % 2 ? "Enter" : " ");
      expect(row.getAttribute("aria-pressed") === "true", `${number} is picked by key`);
      const title = aside.querySelector("h2").textContent;
      const name = title.replace(/^[-+~±] /, "");
      expect(row.getAttribute("aria-label").includes(name), `${name} is shown`);
      found.marks[name] = row.classList.value.split(" ").find((word) => /ed$/.test(word) && word !== "picked") ?? "";
      for (const details of aside.querySelectorAll("details")) {
        const open = details.open;
        const verdict = details.querySelector(".verdict").textContent;
        expect(open === (verdict === "blocked"), `${name}: what is blocked is open`);
        details.open = true;
      }
      found.ways[name] = [...aside.querySelectorAll("summary")].map((summary) => {
        const [kind, to, , verdict] = [...summary.children].map((child) => child.textContent);
        return `${kind} ${to}: ${verdict}`;
      });
      found.told[name] = aside.textContent;
      if (all.length < 5 || number === "0") panel(document.querySelector("aside"));
      key(row, "Escape");
      expect(!aside.children.length && !svg.querySelector(".picked"), `${name} is let go by Escape`);
      row.dispatchEvent(new MouseEvent("click", { bubbles: true }));
      expect(aside.querySelector("h2")?.textContent === title, `${name} is picked by click`);
      aside.querySelector("button").click();
    }
    const search = document.querySelector("#search");
    for (const word of ["ws07", "blocked", "nobody"]) {
      search.value = word;
      search.dispatchEvent(new Event("input"));
      found.found[word] = rows().filter((row) => !faded(row)).length;
    }
    search.value = "";
    search.dispatchEvent(new Event("input"));
    expect(!svg.querySelector(".faded"), "an empty search finds all");
  };

  const changes = () => {
    for (const details of document.querySelectorAll("#list details")) {
      const word = details.querySelector("summary").children[1].textContent;
      details.open = true;
      for (const item of details.querySelectorAll("li")) found.changes.push(`${item.textContent} ${word}`);
    }
  };

  try {
    texts();
    panel(document.querySelector("aside"));
    people();
    changes();
  } catch (error) {
    found.errors.push(String(error.stack));
  }
  found.resources = performance.getEntriesByType("resource").map((entry) => entry.name);
  const out = document.createElement("pre");
  out.id = "probe";
  out.textContent = JSON.stringify(found);
  document.body.append(out);
})();
