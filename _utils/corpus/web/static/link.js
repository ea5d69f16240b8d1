// The token stands behind the # so that no server's log has it: into the form with it, and out of the address.
"use strict";
const token = document.getElementById("token");
if (token && location.hash.length > 1) {
  token.value = decodeURIComponent(location.hash.slice(1));
  history.replaceState(null, "", location.pathname);
}
