/** +4915112345678 as +49 151 1234 5678: groups that the eye can hold. @param {string} number */
export function pretty(number) {
  const match = /^(\+\d{2})(\d{3})(\d+)$/.exec(number);
  return match ? `${match[1]} ${match[2]} ${match[3].replace(/(\d{4})(?=\d)/g, '$1 ')}` : number;
}

/** @param {{name?: string, number?: string, peer?: string}} who */
export const called = (who) => who.name || pretty(who.number ?? who.peer ?? '');

/** @param {string} iso */
export function clock(iso) {
  const at = new Date(iso);
  return at.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', second: '2-digit', hour12: false });
}

/** @param {string} iso */
export function day(iso) {
  const at = new Date(iso);
  const today = new Date();
  return at.toDateString() === today.toDateString() ? 'Today' : at.toLocaleDateString([], { day: 'numeric', month: 'long', year: 'numeric' });
}

/** Two letters and a colour of its own for everybody. @param {string} text */
export function face(text) {
  const words = text.replace(/[^\p{L}\p{N} ]/gu, '').trim().split(/\s+/);
  const letters = /\p{L}/u.test(text) ? words.map((word) => [...word][0] ?? '').slice(0, 2).join('') : text.replace(/\D/g, '').slice(-2);
  const hue = [...text].reduce((sum, letter) => (sum * 31 + (letter.codePointAt(0) ?? 0)) % 360, 7);
  return { letters: letters.toUpperCase(), hue };
}
