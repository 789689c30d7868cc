/** Light, dark, or as the system is. */

import { button } from "./dom";

const NAME = "mask2alpha-theme";
const THEMES = ["system", "light", "dark"] as const;
type Theme = (typeof THEMES)[number];

export function followTheme(changed: () => void): void {
  let theme = THEMES.find((known) => known === localStorage.getItem(NAME)) ?? "system";
  const apply = (next: Theme): void => {
    theme = next;
    document.documentElement.dataset["theme"] = theme;
    button("theme").title = `Theme: ${theme}`;
    button("theme").setAttribute("aria-label", `Theme: ${theme}`);
    changed();
  };
  apply(theme);
  button("theme").addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length]!;
    localStorage.setItem(NAME, next);
    apply(next);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
}
