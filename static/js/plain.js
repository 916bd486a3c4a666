// Error pages. They work without this file: it keeps the chosen theme, copies the request's id and counts a pause down.
// Not a module: the theme is set before anything is drawn.
try {
  const theme = localStorage.getItem("theme");
  if (theme) document.documentElement.dataset.theme = theme;
} catch {
  // Storage may be switched off.
}

document.addEventListener("DOMContentLoaded", () => {
  const back = document.getElementById("back");
  if (document.referrer.startsWith(location.origin)) {
    back.hidden = false;
    back.addEventListener("click", () => history.back());
  }

  const copy = document.getElementById("copy");
  if (navigator.clipboard) {
    copy.hidden = false;
    copy.addEventListener("click", async () => {
      await navigator.clipboard.writeText(document.getElementById("request-id").textContent);
      copy.textContent = "Copied";
    });
  }

  const wait = document.getElementById("wait");
  let left = Number(wait?.dataset.wait ?? 0);
  if (left > 0) {
    const tick = setInterval(() => {
      left -= 1;
      wait.textContent = left > 0 ? `Again in ${left} s.` : "You can try again now.";
      if (left <= 0) clearInterval(tick);
    }, 1000);
  }
});
