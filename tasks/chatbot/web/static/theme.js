// Loaded before the page is drawn, so that a dark page never flashes white.
document.documentElement.dataset.theme = localStorage.getItem("migaki.theme") ?? "auto";
