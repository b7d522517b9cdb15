// The page's own address: which game it stands for.

const SPACES = "https://huggingface.co"; // shows the app in a frame and keeps a copy of its query string

export const challengeIn = (href) => new URL(href).searchParams.get("challenge");

// The score that a link asks to beat, a whole number of rounds; null without one.
export const beatIn = (href) => {
  const beat = new URL(href).searchParams.get("beat");
  return /^(\d|10)$/.test(beat ?? "") ? Number(beat) : null;
};

// The app as a client of its API names it: without a query and without a slash at the end.
export const appAddress = (href) => {
  const { origin, pathname } = new URL(href);
  return origin + pathname.replace(/\/+$/, "");
};

// The address with another game in it; null takes it out.
export const withChallenge = (href, link, beat = null) => {
  const url = new URL(href);
  for (const [name, value] of Object.entries({ challenge: link, beat })) {
    if (value === null) url.searchParams.delete(name);
    else url.searchParams.set(name, value);
  }
  return url.href;
};

// A link to send: the app and the game, nothing else that the address may hold.
export const linkTo = (href, link, beat = null) => {
  const { origin, pathname } = new URL(href);
  return withChallenge(origin + pathname, link, beat);
};

export const showAddress = (href) => {
  if (href === location.href) return;
  history.replaceState(history.state, "", href);
  if (window.parent !== window) window.parent.postMessage({ queryString: location.search.slice(1) }, SPACES);
};
