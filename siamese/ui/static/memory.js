// What this browser remembers. Never sent anywhere, never trusted.

const MEMORY_KEY = "one-look/1";

export const remember = (change) => {
  let memory = {};
  try {
    memory = JSON.parse(localStorage.getItem(MEMORY_KEY)) || {};
  } catch {
    /* private mode, or somebody else's text */
  }
  if (change) {
    change(memory);
    try {
      localStorage.setItem(MEMORY_KEY, JSON.stringify(memory));
    } catch {
      /* nothing is remembered then */
    }
  }
  return memory;
};
