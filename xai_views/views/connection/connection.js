// Whether the kernel hears this page: it is called until it answers. Panel's extension of JupyterLab registers the kernel in
// window.PyViz; where it has done so, a kernel that does not answer is busy with a cell.
const CALL_MS = 1000;
const WARNING = "margin:4px 0;padding:8px 14px;border-radius:8px;border:1px solid #c2410c;border-left-width:4px;font-size:.9375rem;line-height:1.5";
const extended = () => Object.keys(window.PyViz?.kernels ?? {}).length > 0;

export function render({model}) {
  const words = h("p", {role: "alert", style: WARNING, hidden: true}, ""), begun = performance.now();
  let timer = 0;
  const look = () => {
    const lost = !model.heard && !extended() && performance.now() - begun > model.patience;
    words.hidden = !lost;
    setText(words, lost ? model.sentence : "");
    if (model.heard) clearInterval(timer);
    else model.send_msg({type: "here"});
  };
  timer = setInterval(look, CALL_MS);
  model.on("heard", look);
  model.on("remove", () => clearInterval(timer));
  look();
  return words;
}
