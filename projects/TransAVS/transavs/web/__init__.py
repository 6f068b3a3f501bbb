"""The web page of tools/web_demo.py. It needs Gradio, which nothing else here does."""
