// The command that starts with one's own model and samples: what was found is chosen, the whole is copied.
const quoted = (text) => /^[\w./:~-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

async function copied(text, element) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {  // without https only what is selected can be copied
    getSelection().selectAllChildren(element);
    return document.execCommand("copy");
  }
}

export function render({model}) {
  const chosen = {model: model.models[0] ?? "my_model.py:load", samples: model.samples[0] ?? "my_samples/"};
  const code = make("code", {tabindex: "0", role: "region", "aria-label": "Command"});
  const button = make("button", {type: "button"}, "Copy"), said = make("span", {role: "status", style: "position:absolute;clip-path:inset(50%);width:1px;height:1px;overflow:hidden"});
  const write = () => { code.textContent = `xai-views serve --model ${quoted(chosen.model)} --samples ${quoted(chosen.samples)}`; };
  let timer = 0;
  button.addEventListener("click", async () => {
    const done = await copied(code.textContent, code);
    button.textContent = said.textContent = done ? "Copied" : "Press Ctrl+C";
    clearTimeout(timer);
    timer = setTimeout(() => { button.textContent = "Copy"; said.textContent = ""; }, 2000);
  });
  const chips = (key, names) => names.map((name) => {
    const chip = make("button", {type: "button", "aria-pressed": String(chosen[key] === name)}, name);
    chip.addEventListener("click", () => {
      chosen[key] = name;
      for (const other of chip.parentElement.querySelectorAll(`[data-key="${key}"]`)) other.setAttribute("aria-pressed", String(other === chip));
      write();
    });
    chip.dataset.key = key;
    return chip;
  });
  const all = [...chips("model", model.models), ...chips("samples", model.samples)];
  write();
  const root = make("div", {class: "own"}, make("style", {}, CSS), make("div", {class: "line"}, code, button), said);
  if (all.length) root.append(make("div", {class: "found"}, "Found in the server's folder:", ...all));
  return root;
}
