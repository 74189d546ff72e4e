if (document.getElementById("xv-lost")) return
const box = document.createElement("div"), words = document.createElement("span"), button = document.createElement("button")
Object.assign(box, {id: "xv-lost"})
box.setAttribute("role", "alert")
box.style.cssText = "position:fixed;z-index:10000;top:56px;left:50%;transform:translateX(-50%);display:flex;gap:12px;align-items:center;"
  + "max-width:calc(100vw - 24px);padding:10px 14px;border-radius:8px;font:500 15px/1.4 Roboto,system-ui,sans-serif;"
  + "background:#1b2127;color:#fff;box-shadow:0 6px 24px rgb(0 0 0 / 0.35)"
button.style.cssText = "padding:6px 12px;border:1px solid #fff;border-radius:6px;background:none;color:#fff;font:inherit;cursor:pointer"
button.textContent = "Reload"
button.addEventListener("click", () => location.reload())
words.textContent = "The connection to the server was lost."
box.append(words, button)
document.body.append(box)
const find = (root) => root.querySelector("main") ?? [...root.querySelectorAll("*")].map((e) => e.shadowRoot && find(e.shadowRoot)).find(Boolean)
const main = find(document)
if (main) { main.style.opacity = "0.35"; main.inert = true }
const cover = document.getElementById("loader") // Panel Material UI puts it over the whole page, the button too
if (cover) cover.style.visibility = "hidden"
const ask = setInterval(async () => {
  try {
    await fetch("./liveness", {cache: "no-store"})
  } catch { return }
  clearInterval(ask)
  words.textContent = "The server was restarted; reload the page."
}, 1000)
