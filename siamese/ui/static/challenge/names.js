// How candidates are named: A to T on the tiles, in sentences and on the keyboard.

export const nameOf = (place) => String.fromCharCode(65 + place);

// The place that a key stands for, or -1.
export const placeOf = (key) => (/^[a-t]$/i.test(key) ? key.toUpperCase().charCodeAt(0) - 65 : -1);
