"use strict";
// Values under the pointer and by keyboard, and zoom in time. The page is whole without this.
(() => {
  let from = 0, to = null, cursor = null, drag = null;
  const section = () => document.querySelector(".drawings");
  // All sections have the same axis. Without a beginning, the wall clock means nothing.
  const facts = () => {
    const { began, end, step } = section().dataset;
    return { began: began === undefined ? null : +began, end: +end, step: +step };
  };
  const all = (selector) => [...document.querySelectorAll(`.drawings ${selector}`)];
  const overTime = () => all("figure.drawing:not([data-own])");
  const two = (n) => String(n).padStart(2, "0");
  const clock = (t) => {
    const s = Math.max(0, Math.floor(t)), h = Math.floor(s / 3600), m = Math.floor(s / 60) % 60;
    return h ? `${h}:${two(m)}:${two(s % 60)}` : `${m}:${two(s % 60)}`;
  };
  const wall = (t) => (facts().began === null ? "" : new Date((facts().began + Math.floor(t)) * 1000).toISOString().slice(11, 19));
  const moment = (t) => clock(t) + (wall(t) && ` (${wall(t)} UTC)`);
  const values = (figure) => figure.dataset.values.split("\n");

  function show() {
    if (!section()) return;
    const { step, end } = facts();
    for (const figure of all("figure.drawing")) {
      const own = "own" in figure.dataset;
      const lines = values(figure), output = figure.querySelector("output");
      const at = own ? (cursor && cursor.own === figure ? cursor.part * (lines.length - 1) : null) : cursor && cursor.t !== undefined ? cursor.t : null;
      const line = figure.querySelector(".cursor");
      if (at === null) {
        line.setAttribute("d", "");
        output.textContent = "";
        continue;
      }
      line.setAttribute("d", `M${at} 0V100`);
      const place = own ? Math.round(at) : Math.min(lines.length - 1, Math.floor(at / step));
      const time = own ? "" : `${moment(place * step)}: `;
      output.textContent = place * step <= end || own ? time + lines[Math.max(0, place)] : "";
    }
  }

  function axes() {
    if (!section()) return;
    const { end } = facts();
    const last = to === null ? end : to, length = last - from;
    const percent = (t) => ((t - from) / length) * 100;
    for (const figure of overTime()) {
      figure.querySelector("svg.shapes").setAttribute("viewBox", `${from} 0 ${length} 100`);
      const x = figure.querySelector("svg.x");
      const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400];
      const step = steps.find((one) => one >= length / 7) || 86400 * Math.ceil(length / 7 / 86400);
      const texts = [];
      for (let t = Math.ceil(from / step) * step, i = 0; t <= last + 1e-9; t += step, i++) {
        const place = percent(t), anchor = place < 4 ? "start" : place > 94 ? "end" : "middle";
        for (const [y, text, kind] of [[12, clock(t), ""], [26, wall(t) && wall(t) + (i ? "" : " UTC"), " wall"]]) {
          if (!text) continue;
          const label = document.createElementNS("http://www.w3.org/2000/svg", "text");
          label.setAttribute("class", (i % 2 ? "odd" : "even") + kind);
          label.setAttribute("x", place + "%");
          label.setAttribute("y", y);
          label.setAttribute("text-anchor", anchor);
          label.textContent = text;
          texts.push(label);
        }
      }
      x.replaceChildren(...texts);
    }
    for (const label of all("[data-t]")) {
      const place = percent(+label.dataset.t);
      label.setAttribute("x", place + "%");
      label.setAttribute("visibility", place < 0 || place > 100 ? "hidden" : "visible");
    }
    const reset = document.getElementById("zoom-all");
    if (reset) reset.disabled = from === 0 && to === null;
  }

  function zoom(begin, finish) {
    const { end, step } = facts();
    begin = Math.max(0, begin);
    finish = Math.min(end, finish);
    if (finish - begin < 2 * step) return;
    from = begin;
    to = finish >= end && begin <= 0 ? null : finish;
    axes();
    show();
  }
  const scale = (by) => {
    const { end } = facts(), last = to === null ? end : to;
    const middle = cursor && cursor.t !== undefined ? cursor.t : (from + last) / 2, half = ((last - from) * by) / 2;
    zoom(Math.max(0, middle - half), Math.min(end, middle + half));
  };
  const everything = () => { from = 0; to = null; axes(); show(); };

  function point(event) {
    const area = event.target.closest && event.target.closest(".area");
    const figure = area && area.closest("figure.drawing");
    if (!figure) return null;
    const box = area.getBoundingClientRect();
    const part = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    if ("own" in figure.dataset) return { own: figure, part };
    const { end } = facts();
    return { t: from + part * ((to === null ? end : to) - from) };
  }
  document.addEventListener("pointermove", (event) => {
    const now = point(event);
    if (now || cursor) { cursor = now; show(); }
  });
  document.addEventListener("pointerdown", (event) => { drag = event.pointerType === "mouse" ? point(event) : null; if (event.pointerType !== "mouse") { cursor = point(event); show(); } });
  document.addEventListener("pointerup", (event) => {
    const now = point(event);
    if (drag && now && drag.t !== undefined && now.t !== undefined && Math.abs(now.t - drag.t) > facts().step) {
      zoom(Math.min(drag.t, now.t), Math.max(drag.t, now.t));
    }
    drag = null;
  });
  document.addEventListener("dblclick", (event) => { if (point(event)) everything(); });
  document.addEventListener("keydown", (event) => {
    const figure = event.target.closest && event.target.closest("figure.drawing");
    if (!figure || event.ctrlKey || event.metaKey || event.altKey) return;
    const own = "own" in figure.dataset, { end, step } = facts(), many = event.shiftKey ? 10 : 1;
    const move = (by) => {
      if (own) {
        const before = cursor && cursor.own === figure ? cursor.part : 0.5;
        cursor = { own: figure, part: Math.min(1, Math.max(0, before + by / (values(figure).length - 1))) };
      } else {
        const before = cursor && cursor.t !== undefined ? cursor.t : from;
        cursor = { t: Math.min(end - step / 2, Math.max(step / 2, (Math.floor(before / step) + by + 0.5) * step)) };
      }
      show();
    };
    const keys = {
      ArrowLeft: () => move(-many), ArrowRight: () => move(many), Home: () => move(-1e9), End: () => move(1e9),
      "+": () => scale(0.5), "=": () => scale(0.5), "-": () => scale(2), 0: everything,
      Escape: () => { cursor = null; everything(); },
    };
    if (keys[event.key]) { event.preventDefault(); keys[event.key](); }
  });
  document.addEventListener("click", (event) => {
    if (event.target.id === "zoom-in") scale(0.5);
    if (event.target.id === "zoom-out") scale(2);
    if (event.target.id === "zoom-all") everything();
  });

  // The live page: each event is the content of the page, as the program renders it.
  const live = document.body.dataset.live;
  if (live) {
    const state = document.getElementById("state");
    const source = new EventSource(live);
    let over = false;
    source.addEventListener("page", (event) => {
      const focused = document.activeElement && document.activeElement.id;
      document.getElementById("content").innerHTML = event.data;
      if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
      state.textContent = "live";
      state.className = "live";
      axes();
      show();
    });
    source.addEventListener("end", (event) => {
      over = true;
      source.close();
      document.title = document.title.replace("RUNNING", event.data);
      state.textContent = "The run is over, and this is its verdict.";
      state.className = "over";
    });
    source.onerror = () => {
      if (over) return;
      state.textContent = "no connection to the run; trying again";
      state.className = "lost";
    };
  }
  for (const button of document.querySelectorAll(".zoom")) button.hidden = false;
  axes();
})();
