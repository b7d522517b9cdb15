// Rules for the page's modules and their tests; `npm run lint` calls eslint in the project's own folder.
import js from "@eslint/js";
import globals from "globals";

// Scripts that Gradio runs with `element` and `server` at hand, behind one another; they are not modules yet.
const scripts = ["compare", "forgery_game", "own_classes", "pad", "upload", "verify"].map(
  (name) => `siamese/ui/static/${name}.js`,
);

export default [
  { ignores: scripts },
  js.configs.recommended,
  { rules: { eqeqeq: "error", "no-var": "error", "prefer-const": "error", "no-shadow": "error" } },
  { files: ["siamese/**/*.js"], languageOptions: { sourceType: "module", globals: globals.browser } },
  { files: ["tests/js/**/*.js"], languageOptions: { sourceType: "module", globals: globals.node } },
];
