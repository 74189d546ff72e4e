// The hand on the sheet: hover, pan, zoom, brush an interval, choose a cluster, begin a measurement.
const HOVER_MS = 100, CLICK_PX = 4;

function attachHand(host) {
  const {canvas} = host;

  canvas.addEventListener("pointermove", (event) => { if (!event.buttons) host.hover(host.placeOf(event)); });
  canvas.addEventListener("pointerleave", () => host.hover(null));
  canvas.addEventListener("dblclick", (event) => { event.preventDefault(); host.reset(); });

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button > 0 || !host.record) return;
    event.preventDefault();
    host.root.focus({preventScroll: true});
    const tool = event.shiftKey ? "interval" : host.tool, place = host.placeOf(event);
    if (tool === "interval" && place) brush(host, event, place);
    else if (tool === "calipers" && place) {
      host.calipers.begin(place);
      dragged(canvas, event, (moved) => host.calipers.set(1, host.timeIn(place.segment, moved)));
    } else pan(host, event, place);
  });

  attachWheel(host.stage, (factor, event) => host.zoomBy(factor, event), (event) => {
    if (!event.deltaX && !event.shiftKey) return false;
    host.panBy((event.deltaX || event.deltaY) / host.ppm, 0);
    return true;
  });
}

function pan(host, event, place) {
  let {clientX: x, clientY: y} = event, moved = false;
  dragged(host.canvas, event, (now) => {
    moved ||= Math.hypot(now.clientX - event.clientX, now.clientY - event.clientY) > CLICK_PX;
    if (moved) host.panBy((x - now.clientX) / host.ppm, (y - now.clientY) / host.ppm);
    ({clientX: x, clientY: y} = now);
  }, () => { if (!moved && place) host.click(place); });
}

function brush(host, event, place) {
  const {segment} = place;
  let stop = place.time;
  dragged(host.canvas, event, (moved) => { stop = host.timeIn(segment, moved); host.showBrush(segment, place.time, stop); }, () => {
    if (Math.abs(stop - place.time) * host.sheet.speed * host.ppm > CLICK_PX) host.select(segment.lead, place.time, stop);
    else host.clearBrush();
  });
}
