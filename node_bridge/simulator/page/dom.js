// Builds elements. Text goes in as text, never as HTML: what customers and restaurants write is hostile until shown otherwise.

/** @param {string} tag @param {Record<string, any>} [attributes] `onclick` and the like are listeners @param {...any} children */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) set(element, name, value);
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

function set(element, name, value) {
  if (value === null || value === undefined || value === false) return;
  if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
  else if (name === 'class') element.className = value;
  else if (name === 'value' || name === 'checked') element[name] = value;
  else element.setAttribute(name, value === true ? '' : value);
}

export const $ = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));

/** Says something in the corner for a while. @param {string} text @param {'good' | 'bad'} [tone] */
export function toast(text, tone = 'good') {
  const note = h('p', { class: `toast ${tone}` }, text);
  $('toasts').append(note);
  setTimeout(() => note.remove(), tone === 'bad' ? 8000 : 5000);
}

/** Runs what a person asked for and says what went wrong, if something does. @param {() => Promise<any>} deed */
export async function attempt(deed) {
  try {
    return await deed();
  } catch (error) {
    toast(error.message, 'bad');
    return undefined;
  }
}
