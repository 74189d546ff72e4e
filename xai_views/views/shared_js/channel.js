// How the components of one page speak with each other in the browser: a canvas tells its channel what it draws, and
// takes steps from it. The last word of a channel is kept for whoever listens later.
const CHANNELS = (window.xaiViewsChannels ??= new Map());

function announce(channel, about) {
  if (!channel) return;
  CHANNELS.set(channel, {...CHANNELS.get(channel), ...about});
  document.dispatchEvent(new CustomEvent("xv-shown", {detail: channel}));
}

// Call `told(about)` now and whenever the channel has news; returns what ends it.
function follow(channel, told) {
  const listen = (event) => { if (event.detail === channel()) told(CHANNELS.get(event.detail)); };
  document.addEventListener("xv-shown", listen);
  if (CHANNELS.has(channel())) told(CHANNELS.get(channel()));
  return () => document.removeEventListener("xv-shown", listen);
}

const command = (channel, about) => document.dispatchEvent(new CustomEvent("xv-command", {detail: {channel, ...about}}));

// Call `told(about)` for every command of the channel; returns what ends it.
function obey(channel, told) {
  const listen = ({detail}) => { if (detail.channel === channel()) told(detail); };
  document.addEventListener("xv-command", listen);
  return () => document.removeEventListener("xv-command", listen);
}
