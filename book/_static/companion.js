// Beside wide figures the theme hides the list of contents, and on a page that has no such list it
// fails. Such a page gets an empty one that nobody sees.
document.addEventListener("DOMContentLoaded", () => {
  if (document.querySelector("div.bd-sidebar-secondary")) return;
  const list = document.createElement("div");
  list.className = "bd-sidebar-secondary";
  list.style.display = "none";
  document.body.append(list);
});
