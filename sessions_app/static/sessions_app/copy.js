// "Copy" buttons: data-copy names the element whose text is copied.
for (const button of document.querySelectorAll("[data-copy]")) {
    button.addEventListener("click", () => copy(button));
}

async function copy(button) {
    const source = document.getElementById(button.dataset.copy);
    const said = document.getElementById("copied");
    try {
        await navigator.clipboard.writeText(source.textContent);
        said.textContent = "Copied.";
    } catch {
        // Clipboards are closed to pages without TLS: select it, so that Ctrl+C does the rest.
        getSelection().selectAllChildren(source);
        said.textContent = "Selected. Press Ctrl+C (⌘C) to copy.";
    }
}
