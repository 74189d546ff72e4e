// What calipers say, in numbers and in words. Times in s, volts in mV.
const intervalOf = (a, b) => ({ms: Math.abs(b - a) * 1000, bpm: Math.abs(b - a) > 0 ? 60 / Math.abs(b - a) : null});

// QT corrected for the rate (all in ms): Bazett divides by the square root, Fridericia by the cube root of RR in s.
const correctedQt = (qt, rr) => ({bazett: qt / Math.sqrt(rr / 1000), fridericia: qt / Math.cbrt(rr / 1000)});

const signed = (value, digits) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(digits)}`;
const whole = (value) => String(Math.round(value));

function caliperWords({a, b, mvA = null, mvB = null, rr = null}) {
  const {ms, bpm} = intervalOf(a, b), volts = mvA === null || mvB === null ? "" : ` · ${signed(mvB - mvA, 3)} mV`;
  if (rr === null) return `${whole(ms)} ms${volts}${bpm === null ? "" : ` · ${bpm.toFixed(1)} bpm`}`;
  const {bazett, fridericia} = correctedQt(ms, rr);
  return `QT ${whole(ms)} ms${volts} · RR ${whole(rr)} ms (${(60000 / rr).toFixed(1)} bpm) · QTc ${whole(bazett)} ms (Bazett), ${whole(fridericia)} ms (Fridericia)`;
}

function hoverWords(record, {time, lead, mv, cluster, entropy}) {
  const parts = [`${time.toFixed(3)} s`, `lead ${record.leads[lead]}`];
  if (mv !== null) parts.push(`${signed(mv, 3)} mV`);
  if (cluster !== null) parts.push(cluster < 0 ? "no cluster" : `cluster ${record.clusterName(cluster)}`);
  if (entropy !== null) parts.push(`uncertainty ${entropy.toFixed(2)}`);
  return parts.join(" · ");
}
