// Every tab has an address, such as ?tab=verify; without one it is the challenge. Back leads to the tab before.

const FIRST = "challenge";

export const tabIn = (href) => new URL(href).searchParams.get("tab") ?? FIRST;

export const withTab = (href, name) => {
  const url = new URL(href);
  if (name === FIRST) url.searchParams.delete("tab");
  else url.searchParams.set("tab", name);
  return url.href;
};

const buttonOf = (name) => document.getElementById(`${name}-button`);

const openTab = (name) => {
  if (!buttonOf(name)) history.replaceState(null, "", withTab(location.href, FIRST)); // there is no such tab
  const button = buttonOf(name) ?? buttonOf(FIRST);
  if (button?.getAttribute("aria-selected") === "false") button.click();
};

// Gradio builds its tabs after this script has run.
export const followTabs = () => {
  let isFollowing = false; // while the address says which tab is opened
  const follow = () => {
    isFollowing = true;
    openTab(tabIn(location.href));
    isFollowing = false;
  };
  document.addEventListener("click", (event) => {
    const name = event.target.closest?.("[role=tab]")?.getAttribute("aria-controls");
    if (isFollowing || !name || name === tabIn(location.href)) return;
    history.pushState(null, "", withTab(location.href, name));
  });
  document.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const tab = event.target.closest?.("[role=tab]");
    if (!step || !tab) return;
    const tabs = [...tab.parentElement.querySelectorAll("[role=tab]")].filter((one) => one.offsetParent);
    const next = tabs[(tabs.indexOf(tab) + step + tabs.length) % tabs.length];
    event.preventDefault();
    next.focus();
    next.click();
  });
  addEventListener("popstate", follow);
  if (tabIn(location.href) === FIRST) return;
  const watch = new MutationObserver(() => {
    if (!buttonOf(FIRST)) return;
    watch.disconnect();
    follow();
  });
  watch.observe(document.documentElement, { childList: true, subtree: true });
};
