// The page's script. Runs once, in the document's head, before any tab is built; Gradio calls the tabs by name.
import { aboutTab } from "./about.js";
import { challengeTab } from "./challenge/tab.js";
import { compareTab } from "./compare.js";
import { ownClassesTab } from "./own_classes.js";
import { followTabs } from "./tabs.js";
import { verifyTab } from "./verify.js";

window.oneLook = {
  tabs: {
    about: aboutTab,
    challenge: challengeTab,
    compare: compareTab,
    verify: verifyTab,
    own: ownClassesTab,
  },
};

followTabs();
