// The report of a run, which the address names. It holds what people and models wrote: its frame may run nothing and reach nothing.
import { ApiError, call, setToken, token } from "./api.js";
import { explained, t, translate } from "./i18n.js";

const $ = (id) => document.getElementById(id);

function signIn(wrong) {
  $("wrong").textContent = wrong ? t("wrongToken") : "";
  if (!$("sign-in").open) $("sign-in").showModal();
}

async function show() {
  const run = decodeURIComponent(location.hash.slice(1));
  $("trouble").hidden = true;
  $("report").hidden = true;
  try {
    $("report").srcdoc = (await call("GET", `api/reports/${encodeURIComponent(run)}`)).page;
    $("report").hidden = false;
    document.title = `${t("report")} ${run.slice(0, 8)} · Migaki`;
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.code === "invalid_token") return signIn(Boolean(token()));
    $("trouble").textContent = explained(error.code, error.message);
    $("trouble").hidden = false;
  }
}

translate(document);
$("sign-in").addEventListener("cancel", (event) => event.preventDefault());
$("sign-in-form").addEventListener("submit", () => {
  setToken($("token").value.trim());
  $("token").value = "";
  show();
});
addEventListener("hashchange", show);
show();
