const LONG_NUMBER = /\+?\d{7,}/g;

/** `+4915112345678` becomes `+49151*****78`. @param {string} phone @returns {string} */
export function maskPhone(phone) {
  if (phone.length < 8) return '*'.repeat(phone.length);
  const shown = phone.startsWith('+') ? 6 : 5;
  return phone.slice(0, shown) + '*'.repeat(Math.max(0, phone.length - shown - 2)) + phone.slice(-2);
}

/** Masks every phone number and LID inside a text meant for the log. @param {string} text @returns {string} */
export function maskNumbers(text) {
  return text.replace(LONG_NUMBER, maskPhone);
}
