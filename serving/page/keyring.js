// Asking for a key when the service wants one.

import { dropKey, hasKey, onKeyNeeded, useKey } from "./api.js";
import { clearProblems, showProblem } from "./problems.js";

const find = (selector) => document.querySelector(selector);

let asked = null; // a promise while the form is shown

/** Show the form whenever the service asks for a key; requests go on once there is one. */
export function wireKeys() {
  onKeyNeeded((problem, wasGiven) => (asked ??= askForKey(problem, wasGiven)));
  find("#other-key").hidden = !hasKey();
  find("#other-key").addEventListener("click", () => {
    dropKey();
    location.reload();
  });
}

function askForKey(problem, wasGiven) {
  const [form, field] = [find("#key"), find("#key-value")];
  form.hidden = false;
  if (wasGiven) showProblem(Object.assign(problem, { field: "key" }), [form]);
  field.focus();
  return new Promise((resolve) => {
    form.onsubmit = (event) => {
      event.preventDefault();
      clearProblems(form);
      useKey(field.value.replace(/[^!-~]/g, "")); // a header takes no others
      field.value = "";
      form.hidden = true;
      find("#other-key").hidden = false;
      asked = null;
      resolve();
    };
  });
}
