"""page"""
def page(results): return ""
