// The tab "About": the examples of the API name the address that this page came from.
import { appAddress } from "./address.js";

export const aboutTab = (element) => {
  for (const place of element.querySelectorAll("[data-address]")) place.textContent = appAddress(location.href);
};
