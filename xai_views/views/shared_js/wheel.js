// One rule for every picture: the wheel scrolls the page; with Ctrl, or pinched on a trackpad, it zooms.
const WHEEL_WORDS = /Mac|iPhone|iPad/.test(navigator.platform) ? "⌘ + wheel zooms" : "Ctrl + wheel zooms", WHEEL_HINT_MS = 1500, WHEEL_HINT_WIDTH = 180;

// zoom(factor, event); other(event) may take a wheel without Ctrl (true: it was used), for example to move sideways.
function attachWheel(stage, zoom, other = () => false) {
  const hint = h("div", {class: "xv-hint", "aria-hidden": "true", hidden: true}, WHEEL_WORDS);
  let timer = null;
  stage.append(hint);
  stage.addEventListener("wheel", (event) => {
    const zooms = event.ctrlKey || event.metaKey;
    hint.hidden = zooms || stage.clientWidth < WHEEL_HINT_WIDTH;
    clearTimeout(timer);
    timer = setTimeout(() => { hint.hidden = true; }, WHEEL_HINT_MS);
    if (zooms) zoom(Math.exp(-clamp(event.deltaY, -120, 120) * 0.0025), event);
    else if (!other(event)) return;
    hint.hidden = true;
    event.preventDefault();
    event.stopPropagation();
  }, {passive: false});
}
