const LONG_NUMBER = /\+?\d{7,}/g;
const STARS = '*****';

/** `+4915112345678` becomes `+49151*****78`. @param {string} phone @returns {string} */
export function maskPhone(phone) {
  const shown = phone.startsWith('+') ? 6 : 5;
  return phone.length > shown + 2 ? phone.slice(0, shown) + STARS + phone.slice(-2) : STARS;
}

/** Masks every phone number and LID inside a text meant for the log. @param {string} text @returns {string} */
export function maskNumbers(text) {
  return text.replace(LONG_NUMBER, maskPhone);
}
