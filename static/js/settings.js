// The pages of keys, members, secrets and the audit trail. They work without this file: it copies what is shown once, and
// says that a form is on its way.
import { copy } from "shell";

for (const button of document.querySelectorAll("[data-copy]")) {
  const field = document.getElementById(button.dataset.copy);
  button.hidden = false;
  button.addEventListener("click", async () => {
    // Where the browser does not let us copy, over plain HTTP for example, what is to be copied is selected.
    if (!(await copy(button, field.value))) field.select();
  });
  field.addEventListener("focus", () => field.select());
}

for (const form of document.querySelectorAll("form[method=post]")) {
  const button = form.querySelector("button[data-busy]");
  const words = button?.textContent;
  form.addEventListener("submit", () => {
    if (!button) return;
    button.disabled = true;
    button.textContent = button.dataset.busy;
  });
  // Back from the next page the form is as it was left.
  addEventListener("pageshow", (event) => {
    if (!event.persisted || !button) return;
    button.disabled = false;
    button.textContent = words;
  });
}
