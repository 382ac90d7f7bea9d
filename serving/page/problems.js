// Problems, next to the field that they name.

let count = 0;

/**
 * Show a problem in the first of `scopes` that shows the field it names, else in the first's own place.
 * A place is an element whose `data-field` holds the field's name, or "*" for all the others.
 */
export function showProblem(error, scopes) {
  const places = scopes.map((scope) => placeOf(scope, error.field)).filter(Boolean);
  const place = places[0] ?? placeOf(scopes[0], "*");
  const text = textIn(place);
  text.textContent = error.message;
  if (place.dataset.field === "*") return;
  const fields = [...place.querySelectorAll("input, textarea, select")];
  for (const field of fields) {
    field.setAttribute("aria-invalid", "true");
    describe(field, text.id, true);
  }
  (fields[0] ?? place.querySelector("button"))?.focus();
}

/** Take back all problems shown in a scope. */
export function clearProblems(scope) {
  for (const text of scope.querySelectorAll(".problem")) {
    for (const field of scope.querySelectorAll(`[aria-describedby~="${text.id}"]`)) {
      field.removeAttribute("aria-invalid");
      describe(field, text.id, false);
    }
    text.remove();
  }
}

function placeOf(scope, field) {
  const all = [scope, ...scope.querySelectorAll("[data-field]")];
  return all.find((place) => place.dataset.field?.split(" ").includes(field) && place.offsetParent !== null);
}

function textIn(place) {
  const text = document.createElement("p");
  Object.assign(text, { className: "problem", id: `problem-${++count}`, role: "alert" });
  place.append(text);
  return text;
}

function describe(field, id, added) {
  const ids = new Set((field.getAttribute("aria-describedby") ?? "").split(" ").filter(Boolean));
  ids[added ? "add" : "delete"](id);
  if (ids.size) field.setAttribute("aria-describedby", [...ids].join(" "));
  else field.removeAttribute("aria-describedby");
}
