// Pointer gestures on one tile: zoom, pan, pinch, click, rectangle and lasso. Positions are shares of the picture.
function attachGestures(tile) {
  const {stage, link, host} = tile, pointers = new Map();
  let drag = null, pinch = null;

  const share = (event) => {
    const box = stage.getBoundingClientRect(), {k, x, y} = link.view;
    return {x: x + (event.clientX - box.left) / box.width / k, y: y + (event.clientY - box.top) / box.height / k};
  };
  const inside = ({x, y}) => ({x: clamp(x, 0, 1), y: clamp(y, 0, 1)});

  stage.addEventListener("pointerdown", (event) => {
    if (event.button > 0) return;
    pointers.set(event.pointerId, event);
    if (pointers.size === 2) {
      const [a, b] = [...pointers.values()];
      pinch = {distance: Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY), k: link.view.k};
      drag = null;
      return;
    }
    const mode = event.shiftKey ? "rectangle" : event.altKey ? "lasso" : host.tool;
    drag = {mode, start: inside(share(event)), event, view: {...link.view}, points: [inside(share(event))], moved: false};
    stage.setPointerCapture(event.pointerId);
    if (mode !== "pan") event.preventDefault();
  });

  stage.addEventListener("pointermove", (event) => {
    if (pointers.has(event.pointerId)) pointers.set(event.pointerId, event);
    const at = share(event);
    if (pinch && pointers.size === 2) {
      const [a, b] = [...pointers.values()], distance = Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
      link.zoomTo((pinch.k * distance) / pinch.distance, at);
      return;
    }
    if (drag) {
      const dx = event.clientX - drag.event.clientX, dy = event.clientY - drag.event.clientY;
      drag.moved ||= Math.hypot(dx, dy) > 4;
      if (drag.moved && drag.mode === "pan") {
        const box = stage.getBoundingClientRect();
        link.moveTo(drag.view.x - dx / box.width / drag.view.k, drag.view.y - dy / box.height / drag.view.k);
      } else if (drag.moved) {
        const {x, y} = inside(at), {start} = drag;
        if (drag.mode === "lasso") drag.points.push({x, y});
        else drag.points = [start, {x, y: start.y}, {x, y}, {x: start.x, y}];
        host.dropChip();
        link.setRegion(drag.points, tile);
      }
    }
    if (event.pointerType !== "touch" || drag) link.setCross(inside(at), tile);
  });

  const finish = (event) => {
    pointers.delete(event.pointerId);
    if (pinch) { if (pointers.size < 2) pinch = null; return; }
    if (!drag || event.pointerId !== drag.event.pointerId) return;
    const {mode, moved, points, start} = drag;
    drag = null;
    if (!moved) tile.click(start);
    else if (mode !== "pan" && points.length >= 3) host.reportRegion(tile, points);
    if (event.pointerType === "touch") link.setCross(null);
  };
  stage.addEventListener("pointerup", finish);
  stage.addEventListener("pointercancel", (event) => { pointers.delete(event.pointerId); drag = pinch = null; });
  stage.addEventListener("pointerleave", () => { if (!drag) link.setCross(null); });
  stage.addEventListener("dblclick", (event) => { event.preventDefault(); link.reset(); });

  attachWheel(stage, (factor, event) => link.zoomTo(link.view.k * factor, share(event)));
}
