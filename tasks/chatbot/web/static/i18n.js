// The words of the page, in both languages. `{name}` in a text is filled in.
const TEXTS = {
  en: {
    skip: "Skip to the question",
    conversations: "Conversations",
    conversation: "Conversation",
    new: "New conversation",
    none: "No conversations yet",
    today: "Today",
    yesterday: "Yesterday",
    earlier: "Earlier",
    language: "Language",
    themeAuto: "Theme: as the system",
    themeLight: "Theme: light",
    themeDark: "Theme: dark",
    ask: "Ask a question",
    send: "Send",
    stop: "Stop the answer",
    keys: "Enter sends · Shift + Enter for a new line · Esc stops",
    welcome: "What would you like to know?",
    welcomeIndex: "Answers come from {documents} documents. Every source is shown, and sentences that none supports are marked.",
    welcomePlain: "There is no index yet, so answers come from the model alone.",
    searching: "Looking things up",
    writing: "Writing",
    sources: "Sources",
    sure: "{percent} % sure that they answer",
    page: "p. {page}",
    score: "score {score}",
    source: "Source {number}",
    unsupported: "No source supports this sentence",
    unsupportedNote: "Underlined: no source supports this sentence.",
    called: "Tool",
    failed: "failed",
    unsure: "Unsure: please check whether the passages answer.",
    unanswered: "Unanswered: no document comes near enough.",
    length: "Cut off at the length limit.",
    timeout: "Cut off at the time limit.",
    stopped: "Stopped.",
    refused: "Declined by the safety filter ({code}).",
    not_kept: "This answer could not be kept: the server's disk may be full. It is gone when you leave the page.",
    good: "Good answer",
    bad: "Bad answer",
    better: "This would be better …",
    betterLabel: "A better answer",
    betterWhy: "It is kept as an example for the next training.",
    save: "Save",
    saved: "Thank you, saved.",
    cancel: "Cancel",
    copy: "Copy",
    copied: "Copied",
    spent: "{tokens} tokens · {seconds} s",
    delete: "Delete",
    deleteOne: "Delete “{title}”",
    deleteAsk: "Delete this conversation?",
    signIn: "Sign in",
    signOut: "Sign out",
    signInWhy: "This server asks for a token. Whoever runs it can give you one.",
    token: "Token",
    wrongToken: "This token is not known here.",
    index: "index {version}",
    noIndex: "no index",
    unreleased: "unreleased",
    who: "{name} ({role})",
    reader: "reader",
    editor: "editor",
    admin: "administrator",
    answered: "The answer is complete.",
  },
  ja: {
    skip: "質問欄へ移動",
    conversations: "会話の一覧",
    conversation: "会話",
    new: "新しい会話",
    none: "まだ会話はありません",
    today: "今日",
    yesterday: "昨日",
    earlier: "それ以前",
    language: "表示言語",
    themeAuto: "配色: システムに合わせる",
    themeLight: "配色: ライト",
    themeDark: "配色: ダーク",
    ask: "質問を入力してください",
    send: "送信",
    stop: "回答を止める",
    keys: "Enter で送信 · Shift + Enter で改行 · Esc で停止",
    welcome: "何をお調べしますか",
    welcomeIndex: "{documents}件の資料をもとに回答します。出典をすべて示し、出典で裏付けられない文には印を付けます。",
    welcomePlain: "資料の索引がまだないため、モデルだけで回答します。",
    searching: "資料を探しています",
    writing: "回答を書いています",
    sources: "出典",
    sure: "質問に答えている確度 {percent}%",
    page: "{page}ページ",
    score: "スコア {score}",
    source: "出典 {number}",
    unsupported: "この文を裏付ける出典はありません",
    unsupportedNote: "下線の文には、裏付ける出典がありません。",
    called: "ツール",
    failed: "失敗",
    unsure: "確信のない回答です。引用が質問の答えになっているかご確認ください。",
    unanswered: "未回答です。質問に十分近い資料がありませんでした。",
    length: "長さの上限に達したため、途中で終わっています。",
    timeout: "時間の上限に達したため、途中で終わっています。",
    stopped: "停止しました。",
    refused: "安全フィルターにより回答を控えました ({code})。",
    not_kept: "この回答は保存できませんでした。サーバーのディスクに空きがない可能性があります。ページを離れると失われます。",
    good: "良い回答",
    bad: "悪い回答",
    better: "こう答えるほうが良い…",
    betterLabel: "より良い回答",
    betterWhy: "次の学習の手本として保存されます。",
    save: "保存",
    saved: "ありがとうございます。保存しました。",
    cancel: "キャンセル",
    copy: "コピー",
    copied: "コピーしました",
    spent: "{tokens}トークン · {seconds}秒",
    delete: "削除",
    deleteOne: "「{title}」を削除",
    deleteAsk: "この会話を削除しますか?",
    signIn: "サインイン",
    signOut: "サインアウト",
    signInWhy: "このサーバーの利用にはトークンが必要です。管理者から受け取ってください。",
    token: "トークン",
    wrongToken: "このトークンは登録されていません。",
    index: "索引 {version}",
    noIndex: "索引なし",
    unreleased: "リリース外",
    who: "{name}({role})",
    reader: "閲覧者",
    editor: "編集者",
    admin: "管理者",
    answered: "回答が完了しました。",
  },
};

// What went wrong, by the code of the error. `{message}` is what the server says of it, in English.
const ERRORS = {
  en: {
    offline: "The server cannot be reached. Is it still running?",
    broken: "The connection broke off before the answer was complete.",
    unavailable: "The model cannot answer at the moment. Please ask again later.",
    answer_failed: "The answer failed. Please ask again.",
  },
  ja: {
    offline: "サーバーに接続できません。起動しているか確認してください。",
    broken: "回答の途中で接続が切れました。",
    unavailable: "ただいまモデルが応答できません。しばらくしてからもう一度お試しください。",
    answer_failed: "回答に失敗しました。もう一度お試しください。",
    busy: "ただいま混み合っています。少し待ってからもう一度お試しください。",
    timeout: "回答に時間がかかりすぎたため、打ち切りました。",
    rate_limit_exceeded: "質問の回数が多すぎます。少し待ってからもう一度お試しください。",
    not_kept: "保存できませんでした。サーバーのディスクに空きがない可能性があります。しばらくしてからもう一度お試しください。",
    too_many_at_once: "ほかの質問にまだ答えているところです。一つ終わるまでお待ちください。",
    invalid_value: "使えない文字や数値が含まれています({message})。",
    request_too_large: "質問が長すぎます。短くしてお試しください。",
    body_timeout: "質問の送信に時間がかかりすぎました。通信状況を確認してください。",
    cannot_answer: "この質問には答えられませんでした({message})。",
    empty_question: "質問を入力してください。",
    invalid_request: "この内容は受け付けられませんでした({message})。",
    invalid_token: "このトークンは無効になりました。サーバーの管理者に新しいトークンをお求めください。",
    conversation_busy: "この会話では、まだ前の回答が続いています。終わるまで待つか、停止してください。",
    question_too_long: "質問が長すぎます。短くしてお試しください。",
    wrong_host: "このアドレスからは利用できません。このサーバーの正しいアドレスを開いてください。",
    unknown_conversation: "この会話は見つかりません。削除された可能性があります。",
    unknown_turn: "この回答は見つかりません。削除された可能性があります。",
    unknown_answer: "この回答はすでに終わっています。",
    wrong_origin: "別のサイトのページからは利用できません。このサーバーのページを開いてください。",
  },
};

const chosen = localStorage.getItem("migaki.language");
let current = chosen in TEXTS ? chosen : navigator.language.toLowerCase().startsWith("ja") ? "ja" : "en";

export const language = () => current;

export function t(key, values = {}) {
  return TEXTS[current][key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

/** What an error says to people; in the server's words where this page has none. */
export function explained(code, message) {
  return (ERRORS[current][code] ?? "{message}").replace("{message}", () => message);
}

export function setLanguage(name) {
  current = name;
  localStorage.setItem("migaki.language", name);
}

/** Put the words into every element that names them. */
export function translate(root) {
  document.documentElement.lang = current;
  for (const node of root.querySelectorAll("[data-i18n]")) node.textContent = t(node.dataset.i18n);
  for (const node of root.querySelectorAll("[data-i18n-label]")) {
    node.setAttribute("aria-label", t(node.dataset.i18nLabel));
    if (node.tagName === "BUTTON") node.title = t(node.dataset.i18nLabel);
  }
  for (const node of root.querySelectorAll("[data-i18n-placeholder]")) node.placeholder = t(node.dataset.i18nPlaceholder);
}
