// OAuth 2.0 Form Post Response Mode §2: send the form at once. Without scripts its button does it.
// Called on the prototype, because a parameter named "submit" would hide the form's own method.
HTMLFormElement.prototype.submit.call(document.getElementById("form-post"));
