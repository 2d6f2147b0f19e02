// Starts the viewer with the token that somebody enters. It is kept in the memory of the page alone.
"use strict";

const form = document.getElementById("token-form");
const told = document.getElementById("told");

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const token = document.getElementById("token").value.trim();
  const answer = await fetch("/rest/v1/openapi.json", { headers: { Authorization: `Bearer ${token}` } });
  const document_ = await answer.json();
  if (!answer.ok) {
    told.textContent = document_.detail;
    return;
  }
  told.textContent = "";
  form.hidden = true;
  const viewer = SwaggerUIBundle({
    spec: document_,
    dom_id: "#viewer",
    deepLinking: true,
    docExpansion: "none",
    filter: true,
    validatorUrl: null,
    persistAuthorization: false,
    onComplete: () => viewer.preauthorizeApiKey("token", token),
  });
});
