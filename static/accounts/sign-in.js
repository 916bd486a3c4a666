// Comforts only: the page works without this file.
const reveal = document.getElementById("reveal");
const password = document.getElementById("password");
reveal.hidden = false;
reveal.addEventListener("click", () => {
  const shown = password.type === "text";
  password.type = shown ? "password" : "text";
  reveal.textContent = shown ? "Show" : "Hide";
  reveal.setAttribute("aria-pressed", String(!shown));
});

const message = document.getElementById("message");
const submit = document.querySelector("button[type=submit]");
let left = Number(message?.dataset.wait ?? 0);
if (left > 0) {
  submit.disabled = true;
  const tick = setInterval(() => {
    left -= 1;
    message.textContent = left > 0 ? `Too many tries. Try again in ${left} s.` : "You can try again now.";
    if (left <= 0) {
      clearInterval(tick);
      submit.disabled = false;
    }
  }, 1000);
}
